import type { EventOf, Message } from "@holdfast/protocol";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { answering, begin, result, text } from "./_claude-lines.ts";
import { type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";

let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem();
});
afterAll(() => it?.[Symbol.asyncDispose]());
beforeEach(() => {
  it.sandboxes.stage.script = answering;
  it.sandboxes.before.permissions = () => Promise.resolve();
});

const waiting = async (session: LocalSession) => {
  const { body } = await session.call("GET", `/v1/sessions/${session.id}/messages`);
  return body.data as Message[];
};
const change = (session: LocalSession, id: string, body: object) =>
  session.call("POST", `/v1/sessions/${session.id}/messages/${id}`, body);
const remove = (session: LocalSession, id: string) =>
  session.call("DELETE", `/v1/sessions/${session.id}/messages/${id}`);
const words = (content: string) => ({ content: [{ type: "text", text: content }] });
const said = async (session: LocalSession) =>
  (await session.eventsOf("agent.message")).map(({ content }) => content[0]?.text);
const changes = async (session: LocalSession, id: string) =>
  (await session.eventsOf("holdfast.message")).filter((event) => event.message_id === id).map(({ state }) => state);

/** A session whose first message's turn goes on until `finish` is called. */
async function busy() {
  const finish = Promise.withResolvers<void>();
  it.sandboxes.stage.script = async (claude) => {
    const first = await claude.nextUser();
    begin(claude, first);
    await finish.promise;
    claude.print(text("done at last"), result([first]));
    await answering(claude);
  };
  const session = await it.session();
  const first = await session.send("go");
  await session.until("the first word", (events) => events.some(({ type }) => type === "holdfast.initialized"));
  return { session, first, finish: finish.resolve };
}

test("what is sent during a turn waits, can be changed and removed, and runs in its order", async () => {
  const { session, first, finish } = await busy();
  const two = await session.send("two", { clientId: "c-2" });
  const three = await session.send("three");
  const four = await session.send("four");
  expect(await waiting(session)).toMatchObject([
    { id: first, type: "message", state: "taken", content: [{ type: "text", text: "go" }], client_id: null },
    { id: two, state: "queued", delivery: "next", client_id: "c-2", edited_at: null },
    { id: three, state: "queued" },
    { id: four, state: "queued" },
  ]);
  expect((await change(session, two, words("zwei"))).body).toMatchObject({ id: two, ...words("zwei") });
  expect(await remove(session, three)).toMatchObject({ status: 200, body: { id: three, type: "message_deleted" } });
  expect((await waiting(session)).map(({ id, edited_at }) => [id, edited_at !== null])).toEqual([
    [first, false],
    [two, true],
    [four, false],
  ]);
  finish();
  await session.idle(3);
  expect(await said(session)).toEqual(["done at last", "You said: zwei", "You said: four"]);
  expect(await waiting(session)).toEqual([]);
  expect(await changes(session, first)).toEqual(["started"]);
  expect(await changes(session, two)).toEqual(["edited", "started"]);
  expect(await changes(session, three)).toEqual(["removed"]);
});

test("what Claude has cannot be changed; what never was, or is gone, is not found", async () => {
  const { session, first, finish } = await busy();
  const second = await session.send("two");
  for (const attempt of [await change(session, first, words("other")), await remove(session, first)]) {
    expect(attempt).toMatchObject({ status: 409, body: { holdfast: { code: "message_taken" } } });
  }
  await remove(session, second);
  for (const id of [second, "sevt_NEVER"]) {
    expect(await remove(session, id)).toMatchObject({ status: 404, body: { holdfast: { code: "message_not_found" } } });
  }
  expect(await change(session, first, words(" "))).toMatchObject({ status: 400 });
  finish();
  await session.idle();
  expect(await remove(session, first)).toMatchObject({ status: 409 });
});

test("a message counts once under its client's id, for ever", async () => {
  const session = await it.session();
  const one = await session.send("once", { clientId: "mine" });
  await session.idle();
  expect(await session.send("once", { clientId: "mine" })).toBe(one);
  const both = await session.post(
    { type: "user.message", ...words("once"), holdfast: { client_id: "mine" } },
    { type: "user.message", ...words("new"), holdfast: { client_id: "other" } },
  );
  const [again, fresh] = both.body.data as EventOf<"user.message">[];
  expect(again?.id).toBe(one);
  expect(fresh).toMatchObject({ holdfast: { client_id: "other" }, ...words("new") });
  await session.idle(2);
  expect(await said(session)).toEqual(["You said: once", "You said: new"]);
  const other = await it.session();
  expect(await other.send("elsewhere", { clientId: "mine" })).not.toBe(one);
});

test("the same client id at the same moment counts once", async () => {
  const session = await it.session();
  const ids = await Promise.all(Array.from({ length: 8 }, () => session.send("hi", { clientId: "same" })));
  expect(new Set(ids).size).toBe(1);
  await session.idle();
  expect(await session.eventsOf("user.message")).toHaveLength(1);
});

test("of an edit and the start exactly one wins", async () => {
  for (let round = 0; round < 8; round++) {
    const session = await it.session("races");
    const reached = Promise.withResolvers<void>();
    it.sandboxes.before.permissions = async () => reached.resolve();
    const id = await session.send("first words");
    await reached.promise;
    const edits = await Promise.all(
      Array.from({ length: 5 }, async (_, n) => ({ n, ...(await change(session, id, words(`edit ${n}`))) })),
    );
    await session.idle();
    const accepted = edits.filter(({ status }) => status === 200).map(({ n }) => `You said: edit ${n}`);
    for (const { status } of edits) expect([200, 409]).toContain(status);
    const edited = (await session.eventsOf("holdfast.message")).filter(({ state }) => state === "edited");
    expect(edited).toHaveLength(accepted.length);
    const expected = edited.at(-1)?.content?.[0];
    const spoken = expected?.type === "text" ? expected.text : "first words";
    expect(await said(session)).toEqual([`You said: ${spoken}`]);
  }
});

test("a message that is removed while its turn is prepared does not run; the next one does", async () => {
  const reached = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  it.sandboxes.before.permissions = async () => {
    reached.resolve();
    await go.promise;
  };
  const session = await it.session();
  const one = await session.send("one");
  await reached.promise;
  expect(await remove(session, one)).toMatchObject({ status: 200 });
  await session.idle(1);
  expect(await session.outcomes()).toEqual(["stopped"]);
  expect(await session.status()).toBe("idle");
  go.resolve();
  await session.send("two");
  await session.idle(2);
  expect(await said(session)).toEqual(["You said: two"]);
});

test("a session's queue is bounded by its bytes, whether a message is sent or changed", async () => {
  const { session, finish } = await busy();
  const large = (bytes: number) => ({ type: "user.message", ...words("x".repeat(bytes)) });
  const post = (events: object[]) => session.call("POST", `/v1/sessions/${session.id}/events`, { events });
  const three = await post([large(1_000_000), large(1_000_000), large(1_000_000)]);
  expect(three.status).toBe(200);
  expect((await post([large(1_000_000), large(1_000_000), large(1_000_000)])).status).toBe(200);
  const small = await session.send("small");
  expect((await post([large(1_000_000), large(1_000_000), large(1_000_000)])).body).toMatchObject({
    holdfast: { code: "too_many_messages" },
  });
  expect((await post([large(1_000_000), large(900_000)])).status).toBe(200);
  const grown = await change(session, small, words("y".repeat(1_000_000)));
  expect(grown.body).toMatchObject({ holdfast: { code: "too_many_messages" } });
  // What it has itself does not stand in its way.
  const [first] = (three.body as { data: { id: string }[] }).data;
  expect((await change(session, first?.id ?? "", words("z".repeat(1_000_000)))).status).toBe(200);
  for (const { id } of (await waiting(session)).slice(1)) await remove(session, id);
  finish();
});
