import { request } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import Anthropic from "@anthropic-ai/sdk";
import { expect, test } from "vitest";
import type { Gateway } from "../src/index.ts";
import {
  admin,
  ask,
  clientOf,
  fakeUpstream,
  MESSAGE_START,
  REAL_KEY,
  start,
  temporaryDirectory,
  token,
} from "./_kit.ts";

async function refusal(gateway: Gateway, apiKey: string): Promise<string> {
  const client = await clientOf(gateway, apiKey);
  const error = await client.messages.create(ask()).catch((reason: unknown) => reason);
  if (!(error instanceof Anthropic.AuthenticationError)) throw new Error(`not refused: ${String(error)}`);
  expect(error.headers.get("x-should-retry")).toBe("false");
  const body = error.error as { type: string; error: { type: string; message: string } };
  expect([body.type, body.error.type]).toEqual(["error", "authentication_error"]);
  return body.error.message;
}

test("only a good token opens the door, in either mode", async () => {
  const upstream = await fakeUpstream(() => {
    throw new Error("must not be reached");
  });
  for (const credential of [undefined, REAL_KEY]) {
    const gateway = await start({ upstream: upstream.url, ...(credential ? { credential } : {}) });
    expect(await refusal(gateway, await token({ exp: 1000 }))).toMatch(/expired/);
    const weekAgo = Date.now() / 1000 - 7 * 24 * 3600;
    expect(await refusal(gateway, await token({ iat: weekAgo }))).toMatch(/older than seven days/);
    const good = await token();
    expect(await refusal(gateway, `${good.slice(0, -8)}AAAAAAAA`)).toMatch(/not a sandbox token/);
    expect(await refusal(gateway, REAL_KEY)).toMatch(/not a sandbox token/);
    const bare = await fetch(`${gateway.url}/v1/messages`, { method: "POST", body: JSON.stringify(ask()) });
    expect(bare.status).toBe(401);
  }
  expect(upstream.requests).toHaveLength(0);
});

test("a revoked token is refused at once, and still after a restart", async () => {
  const dataDir = await temporaryDirectory();
  const revoked = await token({ jti: "jti-1" });
  const other = await token({ jti: "jti-2" });
  {
    await using gateway = await start({ dataDir });
    await (await clientOf(gateway, revoked)).messages.create(ask());
    expect((await admin(gateway, "POST /admin/revoke", { jti: "jti-1" })).status).toBe(200);
    expect(await refusal(gateway, revoked)).toMatch(/revoked/);
    await (await clientOf(gateway, other)).messages.create(ask());
  }
  const again = await start({ dataDir });
  expect(await refusal(again, revoked)).toMatch(/revoked/);
  await (await clientOf(again, other)).messages.create(ask());
  await admin(again, "POST /admin/revoke", { sbx: "sb-1" });
  expect(await refusal(again, other)).toMatch(/revoked/);
});

test("revoking an account refuses the tokens it has, not the ones it gets later", async () => {
  const gateway = await start();
  const before = await token();
  await admin(gateway, "POST /admin/revoke", { acc: "acc_1" });
  expect(await refusal(gateway, before)).toMatch(/revoked/);
  await wait(2);
  await (await clientOf(gateway, await token())).messages.create(ask());
});

test("a revocation cuts the answers under way, of that token alone", async () => {
  const closed: string[] = [];
  const upstream = await fakeUpstream((req, res) => {
    const session = String(req.headers["x-claude-code-session-id"]);
    res.once("close", () => closed.push(session));
    res.writeHead(200, { "content-type": "text/event-stream" });
    res.write(MESSAGE_START);
  });
  for (const credential of [REAL_KEY, undefined]) {
    const gateway = await start({
      upstream: upstream.url,
      ...(credential ? { credential } : {}),
      scriptedModel: { deltaDelayMs: 20 },
    });
    const open = async (name: string) => {
      const client = await clientOf(gateway, await token({ sbx: name }));
      const stream = await client.messages.create(
        { ...ask("write a long answer of 5000 words"), stream: true },
        { headers: { "x-claude-code-session-id": name } },
      );
      const events = stream[Symbol.asyncIterator]();
      await events.next();
      return {
        drain: async () => {
          await Array.fromAsync({ [Symbol.asyncIterator]: () => events });
        },
        stream,
      };
    };
    const [a, b] = [await open("sb-a"), await open("sb-b")];
    const ended = a.drain();
    expect((await admin(gateway, "POST /admin/revoke", { sbx: "sb-a" })).json).toMatchObject({ cutStreams: 1 });
    await expect(ended).rejects.toThrow();
    expect(b.stream.controller.signal.aborted).toBe(false);
    if (credential) await expect.poll(() => closed).toEqual(["sb-a"]);
    b.stream.controller.abort();
  }
});

test("foreign names in Host, web pages and unknown routes are turned away", async () => {
  const gateway = await start();
  const apiKey = await token();
  const call = (headers: Record<string, string>, path = "/v1/messages") =>
    new Promise<{ status: number; type: string }>((resolve, reject) => {
      const req = request(
        gateway.url + path,
        { method: "POST", headers: { "x-api-key": apiKey, ...headers } },
        (res) => {
          res.setEncoding("utf8");
          let text = "";
          res.on("data", (chunk: string) => {
            text += chunk;
          });
          res.on("end", () => {
            const body = JSON.parse(text) as { error?: { type: string } };
            resolve({ status: res.statusCode ?? 0, type: body.error?.type ?? "none" });
          });
        },
      );
      req.on("error", reject);
      req.end(JSON.stringify(ask()));
    });
  expect(await call({ host: "evil.example" })).toEqual({ status: 421, type: "invalid_request_error" });
  expect(await call({ host: "gateway.holdfast.internal.evil.example:4601" })).toMatchObject({ status: 421 });
  expect(await call({ host: "gateway.holdfast.internal:4601" })).toEqual({ status: 200, type: "none" });
  expect(await call({ origin: "http://localhost:4600" })).toEqual({ status: 403, type: "permission_error" });
  for (const path of ["/v1/files", "/v1/messages/batches", "/__scripts", "/__record", "/admin", "/v1/messages/"]) {
    expect(await call({}, path)).toEqual({ status: 404, type: "not_found_error" });
  }
  // The admin API is no business of a sandbox, whatever token it shows.
  expect(await call({ host: "gateway.holdfast.internal", authorization: "Bearer x" }, "/admin/status")).toMatchObject({
    status: 404,
  });
  expect((await fetch(gateway.url, { method: "HEAD" })).status).toBe(200);
});

test("a body over the limit is 413 in Anthropic's shape, with and without a length", async () => {
  const gateway = await start({ maxBodyBytes: 100_000 });
  const client = await clientOf(gateway);
  const error = await client.messages.create(ask("x".repeat(150_000))).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ status: 413, error: { error: { type: "request_too_large" } } });
  const pieces = new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(60_000));
      if (++pulls === 3) controller.close();
    },
  });
  let pulls = 0;
  const init = { method: "POST", headers: { "x-api-key": await token() }, body: pieces, duplex: "half" } as const;
  const response = await fetch(`${gateway.url}/v1/messages`, init);
  expect(response.status).toBe(413);
  // The same connection, or another, goes on to work.
  expect((await client.messages.create(ask())).type).toBe("message");
});

test("too many bodies at once are an overload, and the budget comes back", async () => {
  const gateway = await start({ maxBodyBytes: 100_000, maxBufferedBytes: 50_000 });
  const client = await clientOf(gateway);
  const error = await client.messages.create(ask("x".repeat(60_000))).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ status: 529, error: { error: { type: "overloaded_error" } } });
  for (let i = 0; i < 3; i++) await client.messages.create(ask("x".repeat(40_000)));
});
