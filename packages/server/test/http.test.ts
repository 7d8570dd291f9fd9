import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loginToken, rawRequest, type TestServer, testServer, userMessage } from "./_server.ts";

let it: TestServer;
let key: string;
beforeAll(async () => {
  it = await testServer();
  ({ apiKey: key } = await it.account("tester"));
});
afterAll(() => it?.[Symbol.asyncDispose]());

const json = (body: unknown) => ({ method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });
const newSession = async () =>
  ((await (await it.fetch("/v1/sessions", { key, ...json({}) })).json()) as { id: string }).id;

/** Anthropic's error shape, with our code. */
async function refusal(response: Response) {
  const body = (await response.json()) as {
    type: string;
    error: { type: string; message: string };
    request_id: string;
    holdfast: { code: string };
  };
  expect(body.type).toBe("error");
  expect(body.request_id).toBe(response.headers.get("request-id"));
  return { status: response.status, type: body.error.type, message: body.error.message, code: body.holdfast.code };
}

describe("bad input on Managed Agents routes", () => {
  test.each([
    ["malformed JSON", "{", 400, "request_malformed"],
    ["not an object", "[1]", 400, "request_malformed"],
    ["a field of the wrong type", { title: 7 }, 400, "request_invalid"],
    ["a field that is not supported", { resources: [{ type: "file" }] }, 400, "not_supported"],
    ["a workspace name with ../", { metadata: { "holdfast.workspace": "../etc" } }, 400, "workspace_name_invalid"],
  ])("%s", async (_what, body, status, code) => {
    const answer = await refusal(await it.fetch("/v1/sessions", { key, ...json(body) }));
    expect(answer).toMatchObject({ status, code, type: "invalid_request_error" });
  });

  test("the field that is wrong is named", async () => {
    const agent = await refusal(await it.fetch("/v1/sessions", { key, ...json({ agent: "agent_other" }) }));
    expect(agent).toMatchObject({ status: 404, code: "agent_not_found", message: expect.stringContaining("agent:") });
    const environment = await refusal(await it.fetch("/v1/sessions", { key, ...json({ environment_id: "env_x" }) }));
    expect(environment).toMatchObject({ status: 404, code: "environment_not_found" });
    expect(environment.message).toContain("environment_id");
  });

  test("bytes that are not UTF-8", async () => {
    const body = new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
    const answer = await refusal(await it.fetch("/v1/sessions", { key, method: "POST", body }));
    expect(answer).toMatchObject({ status: 400, code: "request_malformed", message: expect.stringContaining("UTF-8") });
  });

  test("a prompt of 0 bytes, of white space, above 1 MiB, of 5 MB", async () => {
    const path = `/v1/sessions/${await newSession()}/events`;
    const send = async (text: string) => await refusal(await it.fetch(path, { key, ...json(userMessage(text)) }));
    expect(await send("")).toMatchObject({ status: 400, code: "prompt_empty" });
    expect(await send(" \n\t")).toMatchObject({ status: 400, code: "prompt_empty" });
    expect(await send("x".repeat(1024 * 1024 + 1))).toMatchObject({ status: 413, code: "prompt_too_large" });
    expect(await send("x".repeat(5_000_000))).toMatchObject({ status: 413, code: "body_too_large" });
  });

  test("an event type that cannot be sent", async () => {
    const events = [{ type: "user.define_outcome", description: "x" }];
    const answer = await refusal(
      await it.fetch(`/v1/sessions/${await newSession()}/events`, { key, ...json({ events }) }),
    );
    expect(answer).toMatchObject({
      status: 400,
      code: "not_supported",
      message: expect.stringContaining("user.define_outcome"),
    });
  });

  test("unknown ids, and ids that are none", async () => {
    for (const id of ["sesn_00000000000000000000000000", "sesn_..%2F..%2Fetc", "x", "%00"]) {
      const answer = await refusal(await it.fetch(`/v1/sessions/${id}`, { key }));
      expect(answer, id).toMatchObject({ status: 404, code: "session_not_found", type: "not_found_error" });
    }
    expect((await it.fetch("/v1/sessions/x/events/stream", { key })).status).toBe(404);
  });

  test("query parameters out of range", async () => {
    const id = await newSession();
    for (const query of ["limit=0", "limit=1001", "limit=abc", "order=up", "page=xyz"]) {
      const answer = await refusal(await it.fetch(`/v1/sessions/${id}/events?${query}`, { key }));
      expect(answer, query).toMatchObject({ status: 400, code: "request_invalid" });
    }
    expect((await it.fetch(`/v1/sessions/${id}/events/stream?after=-1`, { key })).status).toBe(400);
  });

  test("wrong and missing keys", async () => {
    expect(await refusal(await it.fetch("/v1/sessions"))).toMatchObject({ status: 401, code: "key_missing" });
    const wrong = await refusal(await it.fetch("/v1/sessions", { key: "hfk_wrong" }));
    expect(wrong).toMatchObject({ status: 401, code: "key_wrong", type: "authentication_error" });
  });

  test("the key as a bearer token", async () => {
    expect((await it.fetch("/v1/sessions", { headers: { authorization: `Bearer ${key}` } })).status).toBe(200);
  });
});

describe("the other routes answer with RFC 9457 problems", () => {
  test("an unknown route, a wrong method", async () => {
    const unknown = await it.fetch("/v1/nothing", { key });
    expect(unknown.status).toBe(404);
    expect(unknown.headers.get("content-type")).toBe("application/problem+json");
    expect(await unknown.json()).toMatchObject({ code: "route_not_found", status: 404, remedy: expect.any(String) });
    expect((await it.fetch("/v1/status", { key, method: "POST" })).status).toBe(405);
    expect((await it.fetch("/v1/sessions", { key, method: "DELETE" })).status).toBe(405);
    expect((await it.fetch("/nothing.js")).status).toBe(404);
  });

  test("a gateway that is not there", async () => {
    const answer = await it.fetch("/v1/status", { key });
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ code: "gateway_unavailable" });
  });

  test("a credential that cannot be one, and one that is not ours to set", async () => {
    const put = (who: object, api_key: string) =>
      it.fetch("/v1/credential", { method: "PUT", body: JSON.stringify({ api_key }), ...who });
    expect((await put({ key }, "sk-ant-something-long")).status).toBe(403);
    const cookie = await login();
    const own = { headers: { cookie, origin: it.url, "content-type": "application/json" } };
    expect(await (await put(own, "nonsense")).json()).toMatchObject({ code: "credential_invalid", status: 400 });
    expect(await (await put(own, "sk-ant-api03-abcdefgh")).json()).toMatchObject({ code: "gateway_unavailable" });
  });
});

async function login(): Promise<string> {
  const answer = await it.fetch(`/login?token=${loginToken()}`);
  expect(answer.status).toBe(302);
  const cookie = answer.headers.get("set-cookie") ?? "";
  expect(cookie).toMatch(/HttpOnly/);
  expect(cookie).toMatch(/SameSite=Strict/);
  return cookie.split(";")[0] ?? "";
}

describe("strangers", () => {
  const { host } = { host: () => new URL(it.url).host };

  test("a foreign host name is refused, on every path", async () => {
    for (const path of ["/", "/health", "/v1/sessions"]) {
      const answer = await rawRequest(it.url, [`GET ${path} HTTP/1.1`, "Host: evil.example", `x-api-key: ${key}`]);
      expect(answer.status, path).toBe(403);
      expect(answer.text).toContain("host_refused");
    }
    expect((await rawRequest(it.url, ["GET /health HTTP/1.1", `Host: ${host()}`])).status).toBe(200);
    const other = host().replace(/\d+$/, "1");
    expect((await rawRequest(it.url, ["GET /health HTTP/1.1", `Host: ${other}`])).status).toBe(403);
  });

  test("a foreign origin is refused, even with a key", async () => {
    for (const origin of ["https://evil.example", "null", `http://localhost:1`]) {
      const answer = await it.fetch("/v1/sessions", { key, headers: { origin } });
      expect(answer.status, origin).toBe(403);
    }
    expect((await it.fetch("/v1/sessions", { key, headers: { origin: it.url } })).status).toBe(200);
  });

  test("a cookie counts only for requests of our own page", async () => {
    const cookie = await login();
    expect((await it.fetch("/v1/sessions", { headers: { cookie } })).status).toBe(200);
    const post = (headers: Record<string, string>) =>
      it.fetch("/v1/sessions", { ...json({}), headers: { cookie, ...headers } });
    expect((await post({})).status).toBe(403);
    expect((await post({ "sec-fetch-site": "same-site" })).status).toBe(403);
    expect((await post({ "sec-fetch-site": "cross-site" })).status).toBe(403);
    expect((await post({ origin: it.url })).status).toBe(200);
    expect((await post({ "sec-fetch-site": "same-origin" })).status).toBe(200);
  });

  test("forged cookies and wrong login tokens", async () => {
    const cookie = await login();
    const forged = `${cookie.slice(0, -4)}AAAA`;
    expect((await it.fetch("/v1/sessions", { headers: { cookie: forged } })).status).toBe(401);
    expect((await it.fetch("/login?token=wrong")).status).toBe(401);
    expect((await it.fetch("/v1/login", json({ token: "wrong" }))).status).toBe(401);
    expect((await it.fetch("/v1/login", json({ token: loginToken() }))).status).toBe(200);
  });
});

test("health, version, and headers of every answer", async () => {
  const health = await it.fetch("/health");
  expect(await health.json()).toEqual({ status: "ok", unhandled_rejections: {} });
  expect(health.headers.get("x-content-type-options")).toBe("nosniff");
  expect(health.headers.get("request-id")).toMatch(/^req_/);
  expect(await (await it.fetch("/version")).json()).toEqual({ version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
  expect((await it.fetch("/ready")).status).toBe(503);
});

test("accounts are kept apart", async () => {
  const other = await it.account("other");
  const id = await newSession();
  await it.fetch(`/v1/sessions/${id}/events`, { key, ...json(userMessage("mine alone")) });
  const as = { key: other.apiKey };
  expect((await it.fetch(`/v1/sessions/${id}`, as)).status).toBe(404);
  expect((await it.fetch(`/v1/sessions/${id}/events`, as)).status).toBe(404);
  expect((await it.fetch(`/v1/sessions/${id}/events/stream`, as)).status).toBe(404);
  expect((await it.fetch(`/v1/sessions/${id}/events`, { ...as, ...json(userMessage("not mine")) })).status).toBe(404);
  expect(await (await it.fetch("/v1/sessions", as)).json()).toMatchObject({ data: [] });
});

test("without an engine a message is answered by an error that says what to do", async () => {
  const id = await newSession();
  await it.fetch(`/v1/sessions/${id}/events`, { key, ...json(userMessage("hello")) });
  const events = async () =>
    ((await (await it.fetch(`/v1/sessions/${id}/events`, { key })).json()) as { data: { type: string }[] }).data;
  await expect.poll(async () => (await events()).at(-1)?.type).toBe("session.status_idle");
  const types = (await events()).map(({ type }) => type);
  expect(types.slice(0, 2)).toEqual(["user.message", "session.status_running"]);
  expect((await events()).find(({ type }) => type === "session.error")).toMatchObject({
    holdfast: { code: "sandbox_unavailable", remedy: expect.any(String) },
  });
});
