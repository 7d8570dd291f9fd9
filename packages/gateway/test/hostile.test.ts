import {
  hostileBodies,
  hostileFields,
  hostileQueries,
  idleDelayMs,
  send,
  startWatched,
  type WatchedProcess,
} from "@holdfast/testkit/hostile";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ADMIN_TOKEN, TOKEN_SECRET, token } from "./_kit.ts";

let gateway: WatchedProcess;
let url: string;
beforeAll(async () => {
  gateway = await startWatched(new URL("../src/main.ts", import.meta.url), {
    tokenSecret: TOKEN_SECRET,
    adminToken: ADMIN_TOKEN,
    scriptedModel: { deltaDelayMs: 0, allowScripts: true },
    logLevel: "silent",
  });
  url = String(gateway.ready.url);
});
afterAll(() => gateway?.[Symbol.asyncDispose]());

const admin = { authorization: `Bearer ${ADMIN_TOKEN}` };
const room = { values: 30_000, bytes: 4_000_000 };
/**
 * What one request may keep the loop for. A body of 30 MB, as long as one may be, is read as a whole: that alone is 20 to
 * 40 ms of a processor's, and seconds where something does it more than once for each part.
 */
const allowedMs = (idleMs: number) => Math.max(3 * idleMs, 80);
const conversation = ["model", "messages", "system", "tools", "metadata"];
const routes = [
  { method: "POST", path: "/v1/messages", fields: conversation },
  { method: "POST", path: "/v1/messages/count_tokens", fields: conversation },
  { method: "PUT", path: "/admin/credential", fields: ["apiKey"] },
  { method: "POST", path: "/admin/revoke", fields: ["jti", "sbx", "acc", "wsp", "ses"] },
  { method: "POST", path: "/admin/scripts", fields: ["when"] },
];

test.each(routes.map((route) => [`${route.method} ${route.path}`, route] as const))(
  "%s: no request stalls the others",
  async (name, { method, path, fields }) => {
    const isAdmin = path.startsWith("/admin/");
    const headers = isAdmin ? admin : { "x-api-key": await token() };
    const idle = await idleDelayMs(gateway);
    const bodies = [...hostileBodies(), ...hostileFields(fields, isAdmin ? { values: 400, bytes: 60_000 } : room)];
    for (const { what, body } of bodies) {
      const seen: number[] = [];
      for (let tries = 0; tries < 4 && !((seen.at(-1) ?? Number.POSITIVE_INFINITY) <= allowedMs(idle)); tries++) {
        seen.push(
          await gateway.longestDelayMs(async () => {
            const answer = await send(`${url}${path}`, { method, headers, body });
            expect(answer.status, `${name}, ${what}: ${answer.text.slice(0, 200)}`).toBeGreaterThanOrEqual(400);
            expect(answer.status, `${name}, ${what}: ${answer.text.slice(0, 200)}`).toBeLessThan(500);
            expect(answer.text.length, `${name}, ${what}`).toBeLessThan(4_000);
          }),
        );
      }
      expect(Math.min(...seen), `${name}, ${what}: idle is ${idle} ms`).toBeLessThanOrEqual(allowedMs(idle));
    }
  },
  120_000,
);

test("strange queries: the admin API refuses them, and no answer repeats them whole", async () => {
  for (const { what, query } of hostileQueries()) {
    const usage = await send(`${url}/admin/usage?${query}`, { method: "GET", headers: admin });
    expect(usage.status, what).toBe(400);
    expect(usage.text.length, what).toBeLessThan(1_000);
  }
  expect((await send(`${url}/admin/usage?account=x`, { method: "GET", headers: admin })).status).toBe(200);
  const unknown = await send(`${url}/v1/${"x".repeat(10_000)}`, { method: "GET" });
  expect([unknown.status, unknown.text.length < 1_000]).toEqual([404, true]);
});

test("a conversation of thousands of calls, each with the same name, is read in linear time", async () => {
  const call = { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "Read", input: {} }] };
  const result = { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", content: "x" }] };
  const messages = [{ role: "user", content: "hi" }, ...Array.from({ length: 4_000 }, () => [call, result]).flat()];
  const body = Buffer.from(JSON.stringify({ model: "claude-test", max_tokens: 10, messages }));
  const headers = { "x-api-key": await token() };
  const idle = await idleDelayMs(gateway);
  const seen: number[] = [];
  for (let tries = 0; tries < 4; tries++) {
    seen.push(
      await gateway.longestDelayMs(async () => {
        expect((await send(`${url}/v1/messages`, { method: "POST", headers, body })).status).toBe(200);
      }),
    );
  }
  expect(Math.min(...seen)).toBeLessThanOrEqual(5 * idle);
});
