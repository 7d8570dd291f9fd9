import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ApiError, createHoldfast, type Holdfast } from "./index.ts";

interface Seen {
  method: string;
  url: string;
  headers: IncomingMessage["headers"];
  body: string;
}

let handle: (seen: Seen, response: ServerResponse) => void;
let seen: Seen[];
let url: string;
let holdfast: Holdfast;
let close: () => Promise<void>;

beforeEach(async () => {
  seen = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const each = { method: request.method ?? "", url: request.url ?? "", headers: request.headers, body };
    seen.push(each);
    handle(each, response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  holdfast = createHoldfast({ baseUrl: `${url}/`, apiKey: "hfk_test" });
  close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
});
afterEach(() => close());

const json = (response: ServerResponse, value: unknown, status = 200, headers = {}) =>
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));

const sse = (response: ServerResponse, frames: unknown[]) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const frame of frames) response.write(`event: message\ndata: ${JSON.stringify(frame)}\n\n`);
};

test("sends the key, the method and a JSON body", async () => {
  handle = (_seen, response) => json(response, { id: "acc_1", name: "a", created_at: "", api_key: "hfk_new" });
  expect((await holdfast.accounts.create({ name: "a" })).api_key).toBe("hfk_new");
  expect(seen[0]).toMatchObject({ method: "POST", url: "/v1/accounts", body: '{"name":"a"}' });
  expect(seen[0]?.headers["x-api-key"]).toBe("hfk_test");
});

test("lists every page, and asks for the next one only when it is wanted", async () => {
  handle = ({ url: path }, response) => {
    const page = new URL(path, url).searchParams.get("page");
    const next = page === null ? "p2" : page === "p2" ? "p3" : null;
    json(response, { data: [{ id: `wsp_${page ?? "p1"}` }], next_page: next });
  };
  const ids: string[] = [];
  for await (const workspace of holdfast.workspaces.list({ limit: 1 })) ids.push(workspace.id);
  expect(ids).toEqual(["wsp_p1", "wsp_p2", "wsp_p3"]);
  expect(seen[1]?.url).toBe("/v1/workspaces?page=p2&limit=1");
  seen = [];
  for await (const workspace of holdfast.workspaces.list()) {
    expect(workspace.id).toBe("wsp_p1");
    break;
  }
  expect(seen).toHaveLength(1);
});

test("a cursor that does not move ends the listing", async () => {
  handle = (_seen, response) => json(response, { data: [{ id: "wsp_1" }], next_page: "same" });
  expect(await Array.fromAsync(holdfast.workspaces.list())).toHaveLength(2);
});

test("a problem becomes an ApiError with all of its fields", async () => {
  handle = (_seen, response) =>
    json(
      response,
      {
        status: 409,
        title: "An account with this name exists",
        detail: 'An account named "a" exists',
        code: "account_exists",
        remedy: "Choose another name.",
      },
      409,
      { "request-id": "req_1", "x-should-retry": "false" },
    );
  const error = await holdfast.accounts.create({ name: "a" }).catch((each: unknown) => each);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({
    code: "account_exists",
    status: 409,
    detail: 'An account named "a" exists',
    remedy: "Choose another name.",
    requestId: "req_1",
    retryable: false,
  });
});

test("what a proxy answers is an ApiError too", async () => {
  handle = (_seen, response) => response.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad gateway</h1>");
  await expect(holdfast.status()).rejects.toMatchObject({ code: "http_502", status: 502, retryable: true });
  handle = (_seen, response) => response.end("<h1>Hello</h1>");
  await expect(holdfast.status()).rejects.toMatchObject({ code: "answer_malformed", retryable: false });
});

test("nobody there: connection_failed, which may be tried again", async () => {
  await close();
  close = () => Promise.resolve();
  await expect(holdfast.status()).rejects.toMatchObject({
    name: "ApiError",
    code: "connection_failed",
    status: 0,
    retryable: true,
    detail: expect.stringContaining("refused"),
  });
});

test("every call ends by its signal, with the signal's reason", async () => {
  handle = () => undefined;
  const stop = new AbortController();
  const reason = new Error("enough");
  const calls = [
    holdfast.status({ signal: stop.signal }),
    holdfast.apiKeys.revoke("key_1", { signal: stop.signal }),
    holdfast.sandboxes.exec("sbx_1", ["true"], { signal: stop.signal }),
    Array.fromAsync(holdfast.accounts.list({ signal: stop.signal })),
  ];
  const settled = Promise.allSettled(calls);
  await expect.poll(() => seen.length).toBe(4);
  stop.abort(reason);
  for (const result of await settled) expect(result).toEqual({ status: "rejected", reason });
});

test("not ready is an answer, not an error", async () => {
  handle = ({ url: path }, response) =>
    path === "/ready" ? json(response, { status: "not_ready", detail: "no engine" }, 503) : json(response, {});
  expect(await holdfast.health()).toEqual({ ready: false, reason: "no engine" });
});

test("messages that wait: listed, edited, steered, removed", async () => {
  const waiting = { id: "sevt_1", type: "message", state: "queued" };
  handle = ({ method, url: path }, response) => {
    if (method === "DELETE") json(response, { id: "sevt_1", type: "message_deleted" });
    else json(response, path.endsWith("/messages") ? { data: [waiting] } : waiting);
  };
  expect((await holdfast.messages.list("sesn_1")).map(({ id }) => id)).toEqual(["sevt_1"]);
  await holdfast.messages.edit("sesn_1", "sevt_1", "other words");
  await holdfast.messages.edit("sesn_1", "sevt_1", [{ type: "text", text: "in blocks" }]);
  expect((await holdfast.messages.steer("sesn_1", "sevt_1")).state).toBe("queued");
  expect((await holdfast.messages.remove("sesn_1", "sevt_1")).type).toBe("message_deleted");
  expect(seen.map(({ method, url: path, body }) => `${method} ${path} ${body}`.trim())).toEqual([
    "GET /v1/sessions/sesn_1/messages",
    'POST /v1/sessions/sesn_1/messages/sevt_1 {"content":[{"type":"text","text":"other words"}]}',
    'POST /v1/sessions/sesn_1/messages/sevt_1 {"content":[{"type":"text","text":"in blocks"}]}',
    'POST /v1/sessions/sesn_1/messages/sevt_1 {"delivery":"now"}',
    "DELETE /v1/sessions/sesn_1/messages/sevt_1",
  ]);
});

test("a message that Claude has taken is refused with its code", async () => {
  const problem = { code: "message_taken", detail: "Claude has this message already", remedy: "Send another." };
  handle = (_seen, response) => json(response, problem, 409);
  const error = { name: "ApiError", code: "message_taken", status: 409, retryable: false };
  await expect(holdfast.messages.edit("sesn_1", "sevt_1", "late")).rejects.toMatchObject(error);
  await expect(holdfast.messages.steer("sesn_1", "sevt_1")).rejects.toMatchObject(error);
  await expect(holdfast.messages.remove("sesn_1", "sevt_1")).rejects.toMatchObject(error);
});

test("what Claude Code says of itself", async () => {
  handle = (_seen, response) => json(response, { live: false, as_of: "2026-01-31T12:00:00.000Z", files: [] });
  expect((await holdfast.claude.get("sesn_1", "plan")).live).toBe(false);
  expect((await holdfast.claude.get("sesn_1", "files", { query: "a b", start: true })).files).toEqual([]);
  expect(seen.map(({ url: path }) => path)).toEqual([
    "/v1/sessions/sesn_1/claude/plan",
    "/v1/sessions/sesn_1/claude/files?query=a+b&start=true",
  ]);
});

test("ids cannot leave their place in the path", async () => {
  handle = (_seen, response) => json(response, {});
  await holdfast.workspaces.get("../accounts?x=1");
  expect(seen[0]?.url).toBe("/v1/workspaces/..%2Faccounts%3Fx%3D1");
  expect(() => holdfast.workspaces.get("..")).toThrow(TypeError);
});

test("exec: both streams in order, then the exit code; split into characters as the network likes", async () => {
  handle = ({ body }, response) => {
    expect(JSON.parse(body)).toEqual({ command: ["ls", "-la"], timeout_ms: 500 });
    sse(response, []);
    const bytes = Buffer.from('event: message\r\ndata: {"type":"stdout","text":"häß\\n"}\r\n\r\n');
    for (const byte of bytes) response.write(Buffer.of(byte));
    response.write('event: ping\ndata: {"type":"ping"}\n\nevent: message\ndata: {"type":"stderr","text":"no"}\n\n');
    response.end('event: message\ndata: {"type":"exit","code":3}\n\n');
  };
  await using run = await holdfast.sandboxes.exec("sbx_1", ["ls", "-la"], { timeoutMs: 500 });
  const chunks = await Array.fromAsync(run.output);
  expect(chunks).toEqual([
    { type: "stdout", text: "häß\n" },
    { type: "stderr", text: "no" },
  ]);
  expect(await run.exitCode).toBe(3);
});

test("exec: stdout and stderr can be read side by side, or after the end", async () => {
  handle = (_seen, response) => {
    sse(response, [
      { type: "stdout", text: "1" },
      { type: "stderr", text: "a" },
      { type: "stdout", text: "2" },
      { type: "exit", code: 0 },
    ]);
    response.end();
  };
  await using beside = await holdfast.sandboxes.exec("sbx_1", ["x"]);
  expect(await Promise.all([Array.fromAsync(beside.stdout), Array.fromAsync(beside.stderr)])).toEqual([
    ["1", "2"],
    ["a"],
  ]);
  await using after = await holdfast.sandboxes.exec("sbx_1", ["x"]);
  expect(await after.exitCode).toBe(0);
  expect((await Array.fromAsync(after.output)).map(({ text }) => text)).toEqual(["1", "a", "2"]);
  expect(() => after.stdout).toThrow(TypeError);
});

test("exec: a stream that ends before the command does is an error, not success", async () => {
  handle = (_seen, response) => {
    sse(response, [{ type: "stdout", text: "half" }]);
    response.end();
  };
  await using run = await holdfast.sandboxes.exec("sbx_1", ["x"]);
  await expect(run.exitCode).rejects.toMatchObject({ code: "exec_failed" });
});

test("exec: leaving the scope lets go of the stream", async () => {
  const gone = Promise.withResolvers<void>();
  handle = (_seen, response) => {
    response.on("close", () => gone.resolve());
    sse(response, [{ type: "stdout", text: "begun" }]);
  };
  {
    await using run = await holdfast.sandboxes.exec("sbx_1", ["sleep", "60"]);
    for await (const { text } of run.output) {
      expect(text).toBe("begun");
      break;
    }
  }
  await gone.promise;
});
