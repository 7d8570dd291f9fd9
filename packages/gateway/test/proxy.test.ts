import type { ServerResponse } from "node:http";
import Anthropic from "@anthropic-ai/sdk";
import { expect, test } from "vitest";
import {
  admin,
  ask,
  clientOf,
  fakeUpstream,
  MESSAGE_END,
  MESSAGE_START,
  REAL_KEY,
  sendMessage,
  sse,
  start,
  token,
  WHOLE_MESSAGE,
} from "./_kit.ts";

const delta = (text: string) => sse("content_block_delta", { index: 0, delta: { type: "text_delta", text } });
const BLOCK_START = sse("content_block_start", { index: 0, content_block: { type: "text", text: "" } });
const BLOCK_STOP = sse("content_block_stop", { index: 0 });

function beginStream(res: ServerResponse): void {
  res.writeHead(200, { "content-type": "text/event-stream" });
  res.write(MESSAGE_START + BLOCK_START);
}

test("swaps the key, and lets nothing of the sandbox's or the operator's through", async () => {
  const upstream = await fakeUpstream((_req, res) => {
    res.setHeader("set-cookie", "a=b");
    res.setHeader("anthropic-organization-id", "org-1");
    res.setHeader("anthropic-ratelimit-requests-remaining", "9");
    res.setHeader("x-echo", REAL_KEY);
    sendMessage(res);
  });
  const gateway = await start({ upstream: upstream.url, credential: REAL_KEY });
  const sandboxToken = await token();
  const client = await clientOf(gateway, sandboxToken);
  const { data, response } = await client.messages
    .create(ask(), {
      headers: {
        "anthropic-beta": "beta-1",
        "anthropic-version": "2023-06-01",
        "x-claude-code-session-id": "cs-1",
        authorization: `Bearer ${sandboxToken}`,
        cookie: "c=d",
        "x-forwarded-for": "10.0.0.1",
      },
    })
    .withResponse();
  expect(data.content).toMatchObject([{ text: "from upstream" }]);
  const [seen] = upstream.requests;
  expect(seen?.headers).toMatchObject({
    "x-api-key": REAL_KEY,
    "anthropic-beta": "beta-1",
    "anthropic-version": "2023-06-01",
    "accept-encoding": "identity",
  });
  expect(JSON.stringify(seen)).not.toContain(sandboxToken.slice(4, 40));
  expect(seen?.headers).not.toHaveProperty("authorization");
  expect(seen?.headers).not.toHaveProperty("cookie");
  expect(seen?.headers).not.toHaveProperty("x-forwarded-for");
  expect(JSON.parse(seen?.body ?? "")).toEqual(ask());
  const headers = JSON.stringify([...response.headers]);
  expect(headers).toContain("anthropic-ratelimit-requests-remaining");
  expect(headers).not.toMatch(/set-cookie|organization|x-echo|real-key/);
});

test("takes the token as a bearer as well, and keeps the query", async () => {
  const upstream = await fakeUpstream((_req, res) => sendMessage(res));
  const gateway = await start({ upstream: `${upstream.url}/base/`, credential: REAL_KEY });
  const client = new Anthropic({ baseURL: gateway.url, authToken: await token(), apiKey: null, maxRetries: 0 });
  await client.post("/v1/messages?beta=true", { body: ask() });
  expect(upstream.requests[0]?.url).toBe("/base/v1/messages?beta=true");
  expect(upstream.requests[0]?.headers).not.toHaveProperty("authorization");
});

test("passes each piece on before the next one exists, and meters the whole", async () => {
  const pieces = ["one", "two", "three"];
  const sent: ServerResponse[] = [];
  const upstream = await fakeUpstream((_req, res) => {
    beginStream(res);
    sent.push(res);
  });
  const gateway = await start({ upstream: upstream.url, credential: REAL_KEY });
  const stream = await (await clientOf(gateway)).messages.create({ ...ask(), stream: true });
  const events = stream[Symbol.asyncIterator]();
  expect((await events.next()).value).toMatchObject({ type: "message_start" });
  expect((await events.next()).value).toMatchObject({ type: "content_block_start" });
  const live = async (session: string) => (await admin(gateway, `GET /admin/live?session=${session}`)).json;
  expect(await Promise.all([live("sesn_1"), live("sesn_2")])).toEqual([{ calls: 1 }, { calls: 0 }]);
  for (const piece of pieces) {
    // The upstream writes this piece only now, when everything before it has already arrived.
    sent[0]?.write(delta(piece));
    expect((await events.next()).value).toMatchObject({ delta: { text: piece } });
  }
  sent[0]?.end(BLOCK_STOP + MESSAGE_END);
  while (!(await events.next()).done);
  await expect.poll(() => live("sesn_1")).toEqual({ calls: 0 });
  const usage = await admin(gateway, "GET /admin/usage?session=sesn_1");
  expect(usage.json).toEqual({
    totals: { requests: 1, inputTokens: 11, outputTokens: 42, cacheWriteTokens: 3, cacheReadTokens: 5 },
    models: [expect.objectContaining({ model: "claude-real", mode: "anthropic", outputTokens: 42 })],
  });
});

test("a client that leaves ends the upstream's work too; what was used until then is counted", async () => {
  const closed = Promise.withResolvers<void>();
  const upstream = await fakeUpstream((_req, res) => {
    res.once("close", () => closed.resolve());
    beginStream(res);
  });
  const gateway = await start({ upstream: upstream.url, credential: REAL_KEY });
  const controller = new AbortController();
  const client = await clientOf(gateway);
  const stream = await client.messages.create({ ...ask(), stream: true }, { signal: controller.signal });
  await stream[Symbol.asyncIterator]().next();
  controller.abort();
  await closed.promise;
  await expect
    .poll(async () => (await admin(gateway, "GET /admin/usage?account=acc_1")).json.totals)
    .toMatchObject({ requests: 1, inputTokens: 11, outputTokens: 1 });
});

test("an upstream that breaks off in mid-stream is a broken stream, not an end", async () => {
  const upstream = await fakeUpstream((_req, res) => {
    beginStream(res);
    res.write(delta("half"), () => res.destroy());
  });
  const gateway = await start({ upstream: upstream.url, credential: REAL_KEY });
  const client = await clientOf(gateway);
  await expect(client.messages.stream(ask()).finalMessage()).rejects.toThrow();
});

test("a slow reader holds the upstream back: nothing piles up in the gateway", async () => {
  const block = delta("x".repeat(64 * 1024));
  const total = 200 * 1024 * 1024;
  let written = 0;
  const upstream = await fakeUpstream((_req, res) => {
    beginStream(res);
    const more = () => {
      while (written < total && !res.destroyed) {
        written += block.length;
        if (!res.write(block)) {
          res.once("drain", more);
          return;
        }
      }
    };
    more();
  });
  const gateway = await start({ upstream: upstream.url, credential: REAL_KEY });
  const controller = new AbortController();
  const response = await fetch(`${gateway.url}/v1/messages`, {
    method: "POST",
    headers: { "x-api-key": await token(), "content-type": "application/json" },
    body: JSON.stringify({ ...ask(), stream: true }),
    signal: controller.signal,
  });
  // Nobody reads. Once the sockets' buffers are full the upstream must stand still, far below the total.
  let last = -1;
  await expect
    .poll(
      () => {
        const still = written === last && written > 0;
        last = written;
        return still;
      },
      { interval: 300, timeout: 15_000 },
    )
    .toBe(true);
  expect(response.status).toBe(200);
  expect(written).toBeLessThan(total / 4);
  controller.abort();
});

test("the key is in no answer, not even when the upstream echoes it in pieces", async () => {
  const upstream = await fakeUpstream((req, res) => {
    if (req.url?.includes("count_tokens")) {
      const message = `invalid x-api-key ${REAL_KEY}`;
      res.writeHead(400, { "content-type": "application/json" });
      res.end(JSON.stringify({ type: "error", error: { type: "invalid_request_error", message } }));
      return;
    }
    beginStream(res);
    res.write(`: ${REAL_KEY.slice(0, 20)}`, () =>
      setImmediate(() => res.end(`${REAL_KEY.slice(20)}\n\n${MESSAGE_END}`)),
    );
  });
  const gateway = await start({ upstream: upstream.url, credential: REAL_KEY });
  const headers = { "x-api-key": await token() };
  const body = JSON.stringify(ask());
  const refused = await fetch(`${gateway.url}/v1/messages/count_tokens`, { method: "POST", headers, body });
  expect(refused.status).toBe(400);
  expect(await refused.text()).toContain("invalid x-api-key [redacted]");
  const streamed = await fetch(`${gateway.url}/v1/messages`, { method: "POST", headers, body });
  let text = "";
  const reading = (async () => {
    for await (const chunk of streamed.body ?? []) text += Buffer.from(chunk).toString();
  })();
  await expect(reading).rejects.toThrow();
  expect(text).not.toContain(REAL_KEY);
});

test("a key set or removed holds from the very next request", async () => {
  const upstream = await fakeUpstream((_req, res) => sendMessage(res));
  const gateway = await start({ upstream: upstream.url });
  const client = await clientOf(gateway);
  const model = async () => JSON.stringify((await client.messages.create(ask())).content);
  expect(await model()).toMatch(/scripted demo/);
  expect(gateway.mode).toBe("scripted");
  await admin(gateway, "PUT /admin/credential", { apiKey: REAL_KEY });
  expect(await model()).toMatch(/from upstream/);
  await admin(gateway, "PUT /admin/credential", { apiKey: `${REAL_KEY}-2` });
  expect(await model()).toMatch(/from upstream/);
  expect(upstream.requests.map((request) => request.headers["x-api-key"])).toEqual([REAL_KEY, `${REAL_KEY}-2`]);
  await admin(gateway, "DELETE /admin/credential");
  expect(await model()).toMatch(/scripted demo/);
  expect(upstream.requests).toHaveLength(2);
});

test("a conversation begun with the demo goes on with Claude: the demo's thinking is left out", async () => {
  const upstream = await fakeUpstream((_req, res) => sendMessage(res));
  const gateway = await start({ upstream: upstream.url });
  const client = await clientOf(gateway);
  const first = await client.messages.create(ask("think about it"));
  expect(first.content[0]?.type).toBe("thinking");
  await admin(gateway, "PUT /admin/credential", { apiKey: REAL_KEY });
  await client.messages.create({
    ...ask(),
    messages: [
      { role: "user", content: "think about it" },
      { role: "assistant", content: first.content },
      { role: "user", content: "go on" },
    ],
  });
  const sent = JSON.parse(upstream.requests[0]?.body ?? "{}") as Anthropic.MessageCreateParams;
  expect(sent.messages[1]?.content).toMatchObject([{ type: "text" }]);
});

test.each<[string, (res: ServerResponse) => void, number, string, RegExp]>([
  [
    "overloaded_error passes as it is",
    (res) => {
      res.writeHead(529, { "content-type": "application/json", "retry-after": "3" });
      res.end('{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}');
    },
    529,
    "overloaded_error",
    /^Overloaded$/,
  ],
  [
    "HTML from something on the way is put into words",
    (res) => res.writeHead(503, { "content-type": "text/html" }).end("<html>secret proxy page</html>"),
    503,
    "api_error",
    /answered 503 with text\/html/,
  ],
  [
    "a refused key says whose key it is",
    (res) =>
      res
        .writeHead(401, { "content-type": "application/json" })
        .end('{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}'),
    401,
    "authentication_error",
    /Anthropic refused the API key that this Holdfast uses/,
  ],
  [
    "a redirect is not followed",
    (res) => res.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
    502,
    "api_error",
    /redirects/,
  ],
  ["a connection that just ends", (res) => res.destroy(), 502, "api_error", /could not reach .*reset/],
])("%s", async (_name, answer, status, type, message) => {
  const upstream = await fakeUpstream((_req, res) => answer(res));
  const gateway = await start({ upstream: upstream.url, credential: REAL_KEY });
  const error = await (await clientOf(gateway)).messages.create(ask()).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(Anthropic.APIError);
  if (!(error instanceof Anthropic.APIError)) return;
  expect(error.status).toBe(status);
  expect(error.error).toMatchObject({
    type: "error",
    error: { type, message: expect.stringMatching(message) as string },
  });
  expect(error.headers?.get("retry-after") ?? null).toBe(status === 529 ? "3" : null);
});

test("an upstream that cannot be reached is a 502 that says so", async () => {
  const gateway = await start({ upstream: "http://127.0.0.1:9", credential: REAL_KEY });
  const error = await (await clientOf(gateway)).messages.create(ask()).catch((reason: unknown) => reason);
  expect(String(error)).toMatch(/502 .*could not reach 127\.0\.0\.1:9: the connection was refused/);
});

test("a connection that the upstream closed while it was idle is no error", async () => {
  const used = new WeakSet<object>();
  const upstream = await fakeUpstream((req, res) => {
    // Every second request on a connection finds it closed.
    if (used.has(req.socket)) req.socket.destroy();
    else sendMessage(res);
    used.add(req.socket);
  });
  const gateway = await start({ upstream: upstream.url, credential: REAL_KEY });
  const client = await clientOf(gateway);
  await client.messages.create(ask());
  expect((await client.messages.create(ask())).content).toMatchObject([{ text: "from upstream" }]);
  expect(upstream.requests).toHaveLength(3);
});

test("an upstream that falls silent is given up after the limit", async () => {
  const upstream = await fakeUpstream(() => undefined);
  const gateway = await start({ upstream: upstream.url, credential: REAL_KEY, upstreamSilenceMs: 1000 });
  const error = await (await clientOf(gateway)).messages.create(ask()).catch((reason: unknown) => reason);
  expect(String(error)).toMatch(/502 .*said nothing for 1 seconds/);
});

test("non-streamed messages are metered by their body", async () => {
  const upstream = await fakeUpstream((_req, res) => {
    res.writeHead(200, { "content-type": "application/json" });
    res.write(WHOLE_MESSAGE.slice(0, 50));
    res.end(WHOLE_MESSAGE.slice(50));
  });
  const gateway = await start({ upstream: upstream.url, credential: REAL_KEY });
  await (await clientOf(gateway)).messages.create(ask());
  const usage = await admin(gateway, "GET /admin/usage?account=acc_1");
  expect(usage.json.totals).toMatchObject({ requests: 1, inputTokens: 11, outputTokens: 7 });
  expect((await admin(gateway, "GET /admin/usage?account=acc_2")).json.totals).toMatchObject({ requests: 0 });
});
