import { afterAll, beforeAll, expect, test } from "vitest";
import { ProviderAwayError } from "../src/ports/sandbox-provider.ts";
import { answering } from "./_claude-lines.ts";
import { type LocalSystem, localSystem } from "./_local-server.ts";
import { capture, replaying } from "./_replay.ts";

let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem();
});
afterAll(() => it?.[Symbol.asyncDispose]());

test("a message is answered, and the next one by the same process", async () => {
  it.sandboxes.stage.script = answering;
  const session = await it.session();
  await session.send("one");
  await session.idle(1);
  await session.send("two");
  const events = await session.idle(2);
  expect(
    events.flatMap((event) => (event.type === "agent.message" ? event.content.map(({ text }) => text) : [])),
  ).toEqual(["You said: one", "You said: two"]);
  expect(await session.outcomes()).toEqual(["completed", "completed"]);
  expect(it.rows("select state from messages where session_id = ?", session.id)).toEqual([
    { state: "done" },
    { state: "done" },
  ]);
  expect(it.sandboxes.stage.started).toHaveLength(1);
});

test("nothing of a sandbox lives after its end", async () => {
  const session = await it.session();
  await session.send("hello");
  await session.idle();
  expect(it.sandboxes.last.processes().length).toBeGreaterThan(1);
  await it.sandboxes.last.end();
  expect(it.sandboxes.last.processes()).toEqual([]);
  await session.send("again");
  await session.idle(2);
  expect(await session.outcomes()).toEqual(["completed", "completed"]);
});

test.each(["permissions", "start"] as const)(
  'a sandbox that ends under the step "%s", before Claude has the message: the next one does it all',
  async (step) => {
    it.sandboxes.stage.script = answering;
    const session = await it.session();
    const made = it.sandboxes.sandboxes.length;
    it.sandboxes.before[step] = async () => {
      delete it.sandboxes.before[step];
      await it.sandboxes.last.end();
    };
    await session.send("hello");
    const events = await session.idle();
    expect(await session.outcomes()).toEqual(["completed"]);
    expect(events.filter(({ type }) => type === "session.error")).toEqual([]);
    expect(it.sandboxes.sandboxes.length).toBe(made + 2);
  },
);

test("sandboxes that end one after the other before Claude has the message: said, after three", async () => {
  const session = await it.session();
  const made = it.sandboxes.sandboxes.length;
  it.sandboxes.before.permissions = () => it.sandboxes.last.end();
  try {
    await session.send("hello");
    await session.idle();
  } finally {
    delete it.sandboxes.before.permissions;
  }
  expect(await session.outcomes()).toEqual(["interrupted"]);
  expect(it.sandboxes.sandboxes.length).toBe(made + 3);
  await session.send("again");
  await session.idle(2);
  expect(await session.outcomes()).toEqual(["interrupted", "completed"]);
});

test.each(["text", "bash-ok", "subagent", "thinking", "v2.1.197/write-edit-read"])(
  "%s, as it was captured",
  async (name) => {
    it.sandboxes.stage.script = replaying(name);
    const session = await it.session();
    for (const words of capture(name).messages) await session.send(words);
    const events = await session.idle();
    expect(await session.outcomes()).toEqual(["completed"]);
    expect(events.filter((event) => event.type === "holdfast.other")).toEqual([]);
    const stored = () =>
      it.rows("select sum(lines) as lines from raw_batches where session_id = ?", session.id)[0]?.lines;
    const printed = capture(name).steps.filter(({ text }) => !text.includes('"type":"stream_event"')).length;
    await expect.poll(stored).toBe(printed);
  },
);

test("a message that comes while the engine is being started again waits for it", async () => {
  const session = await it.session();
  const { find } = it.sandboxes;
  let asked = 0;
  it.sandboxes.find = async (...args) => {
    if (++asked <= 3) throw new ProviderAwayError("The engine does not answer (the list of sandboxes)");
    return await find.apply(it.sandboxes, args);
  };
  try {
    await session.send("hello");
    await session.idle();
  } finally {
    it.sandboxes.find = find;
  }
  expect(asked).toBeGreaterThan(3);
  expect(await session.outcomes()).toEqual(["completed"]);
});

test("a workspace of another installation is refused: its volumes are not here", async () => {
  const session = await it.session();
  const sandboxes = it.sandboxes.stage.started.length;
  it.write(
    "update workspaces set files_volume = 'hf-elsewhere-x-files' where id = (select workspace_id from sessions where id = ?)",
    session.id,
  );
  await session.send("hello");
  const errors = (await session.idle()).filter((event) => event.type === "session.error");
  expect(errors).toMatchObject([{ holdfast: { code: "workspace_elsewhere" } }]);
  expect(await session.outcomes()).toEqual(["failed"]);
  expect(it.sandboxes.stage.started).toHaveLength(sandboxes);
});
