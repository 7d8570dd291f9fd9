/** Turns on the real guest while their database connections die. */
import type { SessionEvent } from "@holdfast/protocol";
import { startPostgres, type TestPostgres } from "@holdfast/testkit/postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { begin, result, text, toolResult, toolUse } from "./_claude-lines.ts";
import type { LocalClaude } from "./_local-claude.ts";
import { endsOf, type LocalSystem, localSystem } from "./_local-server.ts";

let cluster: TestPostgres;
let it: LocalSystem;
beforeAll(async () => {
  cluster = await startPostgres();
  it = await localSystem({ databaseUrl: await cluster.createDatabase() });
});
afterAll(async () => {
  await it?.[Symbol.asyncDispose]();
  await cluster?.[Symbol.asyncDispose]();
});

const pairs = 120;
const kill = () =>
  cluster.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'holdfast' and random() < 0.6");

/** A turn of many tools, in small bursts; `between` runs while a burst is on its way. */
function busy(between: (burst: number) => Promise<unknown>): (claude: LocalClaude) => Promise<void> {
  return async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    for (let n = 0; n < pairs; n++) {
      claude.print(toolUse(`t${n}`), toolResult(`t${n}`, `result ${n}`));
      if (n % 6 === 5) await between((n + 1) / 6);
    }
    claude.print(text("all done"), result([user]));
    await claude.next((line) => line.type === "end");
    await claude.exit(0);
  };
}

async function checkTurn(between: (burst: number) => Promise<unknown>): Promise<void> {
  it.sandboxes.stage.script = busy(between);
  const session = await it.session();
  const stuck = AbortSignal.timeout(90_000);
  // As a client does: the same message again, with the same id, until it is taken.
  for (;;) {
    const { status } = await session.trySend("go", { clientId: "m1" });
    if (status === 200) break;
    expect(status).toBe(503);
    stuck.throwIfAborted();
  }
  let events: SessionEvent[] = [];
  // A list may be asked for while the database is away.
  while (endsOf(events).length === 0) {
    stuck.throwIfAborted();
    events = (await session.events().catch(() => undefined)) ?? events;
  }
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
  const texts = events.flatMap((event) =>
    event.type === "agent.tool_result" ? event.content?.flatMap((block) => ("text" in block ? block.text : [])) : [],
  );
  expect(texts).toEqual(Array.from({ length: pairs }, (_, n) => `result ${n}`));
  expect(events.filter(({ type }) => type === "agent.tool_use")).toHaveLength(pairs);
  expect(events.filter(({ type }) => type === "agent.message")).toHaveLength(1);
  expect(events.filter(({ type }) => type === "session.error")).toEqual([]);
  expect(await session.outcomes()).toEqual(["completed"]);
  await it.sandboxes.last.end();
}

test("connections are cut twenty times in a turn of 240 events: none lost, none doubled, order kept", async () => {
  await checkTurn(kill);
}, 120_000);

test("PostgreSQL is ended as by a power cut twice in a turn, once for longer than anybody waits: the turn goes on", async () => {
  await checkTurn(async (burst) => {
    if (burst === 5) await cluster.restart("immediate");
    if (burst !== 10) return;
    await cluster.stop("immediate");
    // Longer than a request waits: only what is patient goes on.
    const { status } = await it.server.fetch("/ready");
    expect(status).toBe(503);
    const session = await it.server.fetch("/v1/sessions", { key: "hfk_nobodys" });
    expect(session.status).toBe(503);
    await cluster.start();
  });
}, 120_000);
