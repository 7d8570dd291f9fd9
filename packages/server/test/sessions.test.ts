import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type Anthropic from "@anthropic-ai/sdk";
import type { SessionEvent } from "@holdfast/protocol";
import { openAccounts } from "@holdfast/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { databaseOf, type TestServer, testServer, userMessage } from "./_server.ts";

let it: TestServer;
let key: string;
let client: Anthropic;
beforeAll(async () => {
  it = await testServer();
  ({ apiKey: key, client } = await it.account("tester"));
});
afterAll(() => it?.[Symbol.asyncDispose]());

const create = (params: object = {}) =>
  client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default", ...params });

async function logOf(id: string): Promise<SessionEvent[]> {
  const all: SessionEvent[] = [];
  for await (const event of client.beta.sessions.events.list(id, { limit: 2, order: "asc" }))
    all.push(event as unknown as SessionEvent);
  return all;
}

const untilIdle = (id: string) =>
  expect.poll(async () => (await client.beta.sessions.retrieve(id)).status, { timeout: 10_000 }).toBe("idle");

test("the official SDK: create, retrieve, list", async () => {
  const title = "odd \u0000 title \ud83d";
  const session = await create({ title, metadata: { "holdfast.workspace": "other", note: "x" } });
  expect(session).toMatchObject({
    type: "session",
    status: "idle",
    title,
    environment_id: "env_default",
    metadata: { note: "x" },
    agent: { type: "agent", id: "agent_default", version: 1, mcp_servers: [], skills: [], tools: [] },
  });
  expect(await client.beta.sessions.retrieve(session.id)).toEqual(session);
  const ids = await Promise.all([create(), create(), create()]).then((all) => all.map(({ id }) => id));
  const listed: string[] = [];
  for await (const each of client.beta.sessions.list({ limit: 2 })) listed.push(each.id);
  expect(listed).toEqual(expect.arrayContaining([...ids, session.id]));
  expect(new Set(listed).size).toBe(listed.length);
});

test("the official SDK: send and list events, page by page, both ways, by type", async () => {
  const { id } = await create();
  const sent = await client.beta.sessions.events.send(id, userMessage("hello"));
  expect(sent.data?.[0]).toMatchObject({ type: "user.message", content: [{ type: "text", text: "hello" }] });
  await untilIdle(id);
  const all = await logOf(id);
  expect(all.map(({ seq }) => seq)).toEqual(all.map((_, index) => index + 1));
  const down = await (await it.fetch(`/v1/sessions/${id}/events?order=desc&limit=1000`, { key })).json();
  expect((down as { data: SessionEvent[]; next_page: null }).data).toEqual(all.toReversed());
  const only: string[] = [];
  for await (const event of client.beta.sessions.events.list(id, { types: ["user.message", "session.status_idle"] }))
    only.push(event.type);
  expect(only).toEqual(["user.message", "session.status_idle"]);
});

test("a page cursor belongs to its list and order", async () => {
  const [one, two] = [await create(), await create()];
  await it.server.log.append({ sessionId: one.id, events: [{ type: "user.interrupt" }, { type: "user.interrupt" }] });
  const { next_page: page } = (await (await it.fetch(`/v1/sessions/${one.id}/events?limit=1`, { key })).json()) as {
    next_page: string;
  };
  expect(page).toEqual(expect.any(String));
  expect((await it.fetch(`/v1/sessions/${two.id}/events?page=${page}`, { key })).status).toBe(400);
  expect((await it.fetch(`/v1/sessions/${one.id}/events?order=desc&page=${page}`, { key })).status).toBe(400);
  const next = (await (await it.fetch(`/v1/sessions/${one.id}/events?page=${page}`, { key })).json()) as {
    data: SessionEvent[];
    next_page: null;
  };
  expect(next.data.map(({ seq }) => seq)).toEqual([2]);
  expect(next.next_page).toBeNull();
});

const messagesOf = async (id: string) => (await logOf(id)).filter(({ type }) => type === "user.message").length;

test("an Idempotency-Key counts whole, however long it is", async () => {
  const { id } = await create();
  const post = async (text: string, headers: Record<string, string>) => {
    const body = JSON.stringify(userMessage(text));
    const response = await it.fetch(`/v1/sessions/${id}/events`, { key, method: "POST", body, headers });
    return { status: response.status, body: await response.json() };
  };
  const long = (end: string) => ({ "idempotency-key": "k".repeat(1_000) + end });
  const ofLong = await post("of a long key", long("1"));
  expect(await post("of a long key", long("1"))).toEqual(ofLong);
  expect((await post("of another long key", long("2"))).status).toBe(200);
  expect(await messagesOf(id)).toBe(2);
});

test("a repetition gets the first result: by Idempotency-Key, and by the SDK's retry count", async () => {
  const { id } = await create();
  const post = async (text: string, headers: Record<string, string>) => {
    const response = await it.fetch(`/v1/sessions/${id}/events`, {
      key,
      method: "POST",
      body: JSON.stringify(userMessage(text)),
      headers,
    });
    return { status: response.status, body: (await response.json()) as { data: SessionEvent[] } };
  };
  const first = await post("one", { "idempotency-key": "k1" });
  expect(first.body.data[0]).toMatchObject({ holdfast: { client_id: "k1" } });
  expect(await post("one", { "idempotency-key": "k1" })).toEqual(first);
  expect((await post("other", { "idempotency-key": "k1" })).status).toBe(400);
  expect(await messagesOf(id)).toBe(1);

  const cut = await post("two", { "x-stainless-retry-count": "0" });
  expect(await post("two", { "x-stainless-retry-count": "1" })).toEqual(cut);
  expect(await post("two", { "x-stainless-retry-count": "2" })).toEqual(cut);
  expect(await messagesOf(id)).toBe(2);
  // Not a retry: the same words again are meant.
  await post("two", { "x-stainless-retry-count": "0" });
  await post("two", {});
  expect(await messagesOf(id)).toBe(4);
});

test("repetitions at the same time are stored once", async () => {
  const { id } = await create();
  const body = JSON.stringify(userMessage("at once"));
  const post = () =>
    it.fetch(`/v1/sessions/${id}/events`, { key, method: "POST", body, headers: { "idempotency-key": "same" } });
  const answers = await Promise.all(Array.from({ length: 8 }, async () => JSON.stringify(await (await post()).json())));
  expect(new Set(answers).size).toBe(1);
  expect(await messagesOf(id)).toBe(1);
});

test("an interrupt of an idle session is noted and does nothing, twice", async () => {
  const { id } = await create();
  for (let n = 0; n < 2; n++) await client.beta.sessions.events.send(id, { events: [{ type: "user.interrupt" }] });
  expect((await logOf(id)).map(({ type }) => type)).toEqual(["user.interrupt", "user.interrupt"]);
  expect((await client.beta.sessions.retrieve(id)).status).toBe("idle");
});

test("text with NUL and lone surrogates comes back as it was", async () => {
  const { id } = await create();
  const text = "a\u0000b \ud83d c \udc00";
  await client.beta.sessions.events.send(id, userMessage(text));
  const [event] = await logOf(id);
  expect(event).toMatchObject({ content: [{ type: "text", text }] });
});

test("accounts are added while the server runs, and keep their names", async () => {
  await using accounts = await openAccounts(await databaseOf(it.dataDir));
  const { id, apiKey } = await accounts.add("late comer");
  expect((await it.fetch("/v1/sessions", { key: apiKey })).status).toBe(200);
  expect(await accounts.list()).toEqual(
    expect.arrayContaining([{ id, name: "late comer" }, expect.objectContaining({ name: "default" })]),
  );
  await expect(accounts.add("late comer")).rejects.toMatchObject({ code: "account_exists" });
  for (const name of ["", " x", "../x", "a/b", "x".repeat(65)])
    await expect(accounts.add(name), name).rejects.toMatchObject({ code: "account_name_invalid" });
});

const dying = (choice: object, sessionId: string) => `
const { pino } = await import("pino");
const { openServerDatabase, openBus } = await import("./database.ts");
const { DbEventLog } = await import("./adapters/db/event-log.ts");
const choice = ${JSON.stringify(choice)};
const logger = pino({ level: "silent" });
const { db } = await openServerDatabase(choice, logger);
const bus = openBus(choice, db, logger);
const log = new DbEventLog(db, { clock: Date, bus, onCommitted: () => process.kill(process.pid, "SIGKILL") });
const event = { type: "agent.message", content: [{ type: "text", text: "committed, told to nobody" }] };
await log.append({ sessionId: ${JSON.stringify(sessionId)}, events: [event, event] });
`;

test("what was committed by a server that died before it told anyone is there, once, and the numbers go on", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "holdfast-crash-"));
  try {
    let sessionId = "";
    {
      await using server = await testServer({ dataDir });
      const { client: own } = await server.account("one");
      ({ id: sessionId } = await own.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" }));
    }
    const cwd = new URL("../src/", import.meta.url);
    const child = spawn(process.execPath, ["--input-type=module", "-e", dying(await databaseOf(dataDir), sessionId)], {
      cwd,
      stdio: "inherit",
    });
    expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
    await using server = await testServer({ dataDir });
    const { log } = server.server;
    await log.append({ sessionId, events: [{ type: "user.interrupt" }] });
    const seen: [number, string][] = [];
    for await (const frame of log.read({ sessionId, after: 0, signal: AbortSignal.timeout(5_000) })) {
      if (frame.kind === "event") seen.push([frame.event.seq, frame.event.type]);
      if (seen.length === 3) break;
    }
    expect(seen).toEqual([
      [1, "agent.message"],
      [2, "agent.message"],
      [3, "user.interrupt"],
    ]);
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});

test("what would be ignored is refused by name: fields, parameters, images that are none; said once", async () => {
  const { id } = await create();
  const post = (event: object) =>
    it.fetch(`/v1/sessions/${id}/events`, { method: "POST", key, body: JSON.stringify({ events: [event] }) });
  const content = [{ type: "text", text: "hi" }];
  const image = (media_type: string, data: string) => ({
    type: "user.message",
    content: [...content, { type: "image", source: { type: "base64", media_type, data } }],
  });
  const refused: [() => Promise<Response>, string][] = [
    [() => post({ type: "user.message", content, foo: 1 }), "events.0.foo"],
    [() => post(image("image/png", "!!!!")), "must be base64"],
    [() => post(image("image/png", "")), "must not be empty"],
    [() => post(image("image/tiff", "AAAA")), "image/webp"],
    [() => it.fetch(`/v1/sessions/${id}/events?after=3`, { key }), "after"],
    [() => it.fetch(`/v1/sessions/${id}/events?limit=-1`, { key }), "limit"],
  ];
  for (const [ask, named] of refused) {
    const response = await ask();
    const { error } = (await response.json()) as { error: { message: string } };
    expect([response.status, error.message]).toEqual([400, expect.stringContaining(named)]);
    const sentences = error.message.split(". ");
    expect(new Set(sentences).size, error.message).toBe(sentences.length);
  }
  expect((await post({ type: "user.message", content, foo: null })).status).toBe(200);
});

test("a repetition whose first result was deleted since is made anew", async () => {
  const body = JSON.stringify({ agent: "agent_default", environment_id: "env_default", title: "made twice" });
  const post = async (retries: number) => {
    const headers = { "x-stainless-retry-count": String(retries) };
    const response = await it.fetch("/v1/sessions", { method: "POST", key, body, headers });
    return [response.status, ((await response.json()) as { id?: string }).id];
  };
  const [, first = ""] = await post(0);
  expect(await post(1)).toEqual([200, first]);
  await client.beta.sessions.delete(String(first));
  const [status, second] = await post(1);
  expect(status).toBe(200);
  expect(second).not.toBe(first);
});
