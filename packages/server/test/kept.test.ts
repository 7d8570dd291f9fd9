import { expect, test } from "vitest";
import { localSystem } from "./_local-server.ts";
import { frames, loginToken, testServer, userMessage } from "./_server.ts";

test("nothing is kept of requests, nor of the keys and logins that they showed", async () => {
  await using it = await testServer();
  const cookies: string[] = [];
  const keys: string[] = [];
  for (let n = 0; n < 20; n++) {
    const link = await it.fetch(`/login?token=${loginToken()}`);
    cookies.push(link.headers.get("set-cookie")?.split(";")[0] ?? "");
    keys.push((await it.account(`account ${n}`)).apiKey);
  }
  const shown = [...cookies.map((cookie) => ({ cookie })), ...keys.map((key) => ({ "x-api-key": key }))];
  const open = await Promise.all(
    shown.map(async (headers) => {
      const made = await it.fetch("/v1/sessions", {
        method: "POST",
        headers: { ...headers, origin: it.url, "content-type": "application/json" },
        body: "{}",
      });
      const path = `/v1/sessions/${((await made.json()) as { id: string }).id}/events/stream`;
      await it.fetch(path, { method: "HEAD", headers });
      // Who leaves at once, while it is being looked up who that is.
      const early = new AbortController();
      const left = it.fetch(path, { headers, signal: early.signal }).catch(() => undefined);
      setImmediate(() => early.abort());
      await left;
      const leave = new AbortController();
      await frames(await it.fetch(path, { headers, signal: leave.signal })).next();
      return leave;
    }),
  );
  await expect.poll(() => it.server.held()).toMatchObject({ keys: 20, logins: 20 });
  for (const stream of open) stream.abort();
  await expect.poll(() => it.server.held()).toMatchObject({ keys: 0, logins: 0 });
});

test("a session that rests is forgotten, and goes on where it was when it is needed again", async () => {
  await using it = await localSystem(
    { sandbox: { idleProcessMs: 100 } },
    { leaseTimings: { beatMs: 500, deadMs: 5_000, lookMs: 20 } },
  );
  const { server } = it.server;
  const sessions = await Promise.all(Array.from({ length: 12 }, () => it.session("shared")));
  const [first] = sessions;
  if (first === undefined) throw new Error("no session was made");
  for (const session of sessions) await session.send("one");
  for (const session of sessions) await session.idle(1);
  await expect.poll(() => server.held().sessions, { timeout: 20_000 }).toBe(0);
  await first.send("two");
  await first.idle(2);
  expect(server.held().sessions).toBe(1);
  expect(await first.outcomes()).toEqual(["completed", "completed"]);
  await expect.poll(() => server.held().sessions, { timeout: 20_000 }).toBe(0);
  // Nothing is left of it to interrupt, and nothing comes of asking.
  await first.interrupt();
  expect((await first.post(...userMessage("three").events)).status).toBe(200);
  await first.idle(3);
  expect(await first.outcomes()).toEqual(["completed", "completed", "completed"]);
});

test("one whose process lives, or whose turn runs, is not forgotten", async () => {
  await using it = await localSystem({}, { leaseTimings: { beatMs: 500, deadMs: 5_000, lookMs: 5 } });
  const { server } = it.server;
  const session = await it.session();
  await session.send("one");
  await session.idle(1);
  const generation = () => it.rows("select generation from sessions where id = ?", session.id)[0]?.generation;
  const before = generation();
  // Many looks.
  const looks = () => it.rows<{ beats: number }>("select beats from servers")[0]?.beats ?? 0;
  const from = looks();
  await expect.poll(looks, { timeout: 10_000 }).toBeGreaterThan(from + 2);
  expect(server.held().sessions).toBe(1);
  await session.send("two");
  await session.idle(2);
  expect(generation()).toBe(before);
  expect(it.sandboxes.stage.started).toHaveLength(1);
});
