import { copyFileSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { SessionEvent } from "@holdfast/protocol";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { answer, answering, text } from "./_claude-lines.ts";
import { type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let it: LocalSystem;
beforeEach(async () => {
  it = await localSystem();
});
afterEach(() => it?.[Symbol.asyncDispose]());

const copy = () => join(it.dataDir, "copy.sqlite");
const database = () => join(it.dataDir, "server.sqlite");
const generation = () => it.rows<{ generation: number }>("select generation from sessions")[0]?.generation;
const dense = (events: SessionEvent[]) => expect(events.map(({ seq }) => seq)).toEqual(events.map((_e, at) => at + 1));
const says = (events: SessionEvent[], words: string) =>
  events.some((event) => event.type === "agent.message" && event.content[0]?.text === words);
const notices = async (session: LocalSession) => (await session.eventsOf("holdfast.notice")).map(({ kind }) => kind);

async function setAside(): Promise<void> {
  await it.stopServer();
  expect(existsSync(`${database()}-wal`)).toBe(false);
  copyFileSync(database(), copy());
  await it.restart();
}

/** The older database comes back; its sandbox lives. */
async function putBack(): Promise<void> {
  await it.stopServer();
  rmSync(database());
  copyFileSync(copy(), database());
  await it.restart();
}

/** Looks at the rows: there may be much in the log. */
async function work(session: LocalSession, words: string): Promise<void> {
  await session.send(words);
  const query = `select (select count(*) from events where session_id = s.id and type = 'agent.message'
    and substr(event_json, -2000) like ?) as said, status from sessions s where id = ?`;
  const now = () => it.rows(query, `%You said: ${words}%`, session.id)[0];
  await expect.poll(now, { timeout: 60_000 }).toEqual({ said: 1, status: "idle" });
}

/** Works under ever higher leases, which the copy of the database knows nothing of. */
async function workOn(session: LocalSession): Promise<void> {
  await work(session, "two");
  await it.restart();
  await work(session, "three");
  expect(generation()).toBe(3);
}

test("an older database beside a living process: the session goes on, and nothing is missing", async () => {
  const session = await it.session();
  await work(session, "one");
  await setAside();
  await workOn(session);
  await putBack();
  await work(session, "four");
  dense(await session.events());
  expect(generation()).toBeGreaterThan(3);
  expect(await notices(session)).toContain("database_older");
  // What the guest still had came in anew.
  expect(says(await session.events(), "You said: three")).toBe(true);
  expect(it.sandboxes.stage.started).toHaveLength(1);
  // From now on it is a session like any other.
  await it.restart();
  await work(session, "five");
  dense(await session.events());
  expect((await notices(session)).filter((kind) => kind === "database_older")).toHaveLength(1);
});

test("output that the guest has let go of meanwhile is said to be missing", async () => {
  it.sandboxes.stage.script = async (claude) => {
    answer(claude, await claude.nextUser());
    const user = await claude.nextUser();
    for (let n = 0; n < 20; n++) claude.print(text("x".repeat(1_000_000)));
    answer(claude, user);
    await answering(claude);
  };
  const session = await it.session();
  await work(session, "one");
  await setAside();
  await workOn(session);
  await putBack();
  await work(session, "four");
  dense(await session.events());
  expect(await notices(session)).toEqual(expect.arrayContaining(["database_older", "output_missing"]));
});

test("a process that the older database does not know is ended; the next message begins another", async () => {
  const session = await it.session();
  await work(session, "one");
  await setAside();
  await it.sandboxes.stage.started[0]?.exit();
  await expect.poll(() => it.rows("select id from processes where state = 'ended'").length).toBe(1);
  await workOn(session);
  await putBack();
  await work(session, "four");
  dense(await session.events());
  expect(await notices(session)).toContain("database_older");
  expect(it.sandboxes.stage.started).toHaveLength(3);
  await it.sandboxes.stage.started[1]?.ended();
});
