import { expect, test } from "vitest";
import { LocalProvider, localOptions } from "./_local-provider.ts";
import { frames, type TestServer, testServer, until, userMessage } from "./_server.ts";

async function newSession(it: TestServer) {
  const { client, apiKey: key } = await it.account(`tester ${Math.random()}`);
  const { id } = await client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
  const send = (text: string) =>
    it.fetch(`/v1/sessions/${id}/events`, { key, method: "POST", body: JSON.stringify(userMessage(text)) });
  const idle = () =>
    expect
      .poll(async () => (await client.beta.sessions.retrieve(id)).status, { timeout: 120_000, interval: 50 })
      .toBe("idle");
  const log = async () => {
    const all: Record<string, unknown>[] = [];
    for await (const event of client.beta.sessions.events.list(id, { order: "asc", limit: 1000 }))
      all.push(event as unknown as Record<string, unknown>);
    return all;
  };
  return { id, key, client, send, idle, log };
}

function spoken(log: Record<string, unknown>[]): string[] {
  return log
    .filter((event) => event.type === "agent.message")
    .map((event) => (event.content as { text: string }[]).map(({ text }) => text).join(""));
}

test("a flood of lines is kept up with, whole and in order", { timeout: 180_000 }, async () => {
  await using provider = new LocalProvider();
  await using it = await testServer(localOptions, { provider });
  const session = await newSession(it);
  const count = 60_000;
  const started = performance.now();
  expect((await session.send(`flood ${count} 150`)).status).toBe(200);
  await session.idle();
  // With the start of everything, beside whatever else runs on this machine.
  expect(count / ((performance.now() - started) / 1000)).toBeGreaterThan(1_000);
  const log = await session.log();
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_, index) => index + 1));
  expect(spoken(log).map((text) => text.split(" ")[1])).toEqual(Array.from({ length: count }, (_, n) => String(n + 1)));
});

test("what cannot be stored yet waits in the guest, not in memory", { timeout: 180_000 }, async () => {
  await using provider = new LocalProvider();
  await using it = await testServer(localOptions, { provider });
  const session = await newSession(it);
  await session.send("hello");
  await session.idle();
  const lines = 4_000;
  const gate = Promise.withResolvers<void>();
  await session.send(`flood ${lines} 25000`);
  // It has begun; from now on nothing can be stored.
  await expect.poll(() => provider.spooledBytes(), { interval: 5 }).toBeGreaterThan(100_000);
  const stuck = it.server.log.transact(() => gate.promise);
  const before = process.memoryUsage();
  await expect.poll(() => provider.spooledBytes(), { timeout: 60_000 }).toBeGreaterThan(lines * 25_000);
  const after = process.memoryUsage();
  gate.resolve();
  await stuck;
  expect(after.rss + after.external - before.rss - before.external).toBeLessThan(60e6);
  await session.idle();
  expect(spoken(await session.log())).toHaveLength(lines + 1);
});

test("drafts come before the event that they become, never after it, and none is missing", async () => {
  await using provider = new LocalProvider();
  await using it = await testServer(localOptions, { provider });
  const session = await newSession(it);
  const closing = new AbortController();
  const response = await it.fetch(`/v1/sessions/${session.id}/events/stream?event_deltas=agent.message`, {
    key: session.key,
    signal: closing.signal,
  });
  const source = frames(response);
  // The last deltas are printed in one go with their message.
  await session.send("drafts 403");
  const seen = await until(source, (frame) => frame.data.type === "session.status_idle");
  closing.abort();
  const message = seen.find((frame) => frame.data.type === "agent.message");
  const id = message?.data.id;
  expect(id).toBeDefined();
  const at = seen.indexOf(message as (typeof seen)[number]);
  const drafts = seen.flatMap((frame, index) =>
    frame.data.event_id === id || (frame.data.event as { id?: string } | undefined)?.id === id ? [index] : [],
  );
  expect(drafts.length).toBeGreaterThan(0);
  expect(Math.max(...drafts)).toBeLessThan(at);
  const said = drafts.map(
    (index) => (seen[index]?.data.delta as { content: { text: string } } | undefined)?.content.text,
  );
  const [whole] = (message?.data.content ?? []) as { text: string }[];
  expect(said.join("")).toBe(whole?.text);
});
