import { boundsOf, type Route, routes } from "@holdfast/protocol";
import {
  type Answered,
  type Hostile,
  hostileBodies,
  hostileFields,
  hostileQueries,
  idleDelayMs,
  send,
  startWatched,
  statusOfLine,
  type WatchedProcess,
} from "@holdfast/testkit/hostile";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { loginSecret, loginToken } from "./_server.ts";

/** An answer's errors and words are bounded, and so are its bytes. */
const maxAnswerBytes = 24 * 1024;

let server: WatchedProcess;
let url: string;
let admin: Record<string, string>;
let sessionId: string;

beforeAll(async () => {
  server = await startWatched(new URL("../src/main.ts", import.meta.url), {
    port: 0,
    loginSecret,
    logLevel: "silent",
  });
  url = String(server.ready.url);
  const login = await fetch(`${url}/login?token=${loginToken()}`, { redirect: "manual" });
  const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
  const made = await fetch(`${url}/v1/api_keys`, {
    method: "POST",
    headers: { cookie, origin: url, "content-type": "application/json" },
    body: JSON.stringify({ name: "walk" }),
  });
  const { api_key: key } = (await made.json()) as { api_key: string };
  admin = { "x-api-key": key };
  const session = await send(`${url}/v1/sessions`, { method: "POST", headers: admin, body: Buffer.from("{}") });
  sessionId = (JSON.parse(session.text) as { id: string }).id;
});
afterAll(() => server?.[Symbol.asyncDispose]());

const addressOf = ({ path }: Route) =>
  `${url}${path.replace("/v1/sessions/{id}", `/v1/sessions/${sessionId}`).replaceAll(/\{\w+\}/g, "x")}`;

function expectRefusal(answer: Answered, what: string): void {
  expect(answer.status, `${what}: ${answer.text.slice(0, 300)}`).toBeGreaterThanOrEqual(400);
  expect(answer.status, `${what}: ${answer.text.slice(0, 300)}`).toBeLessThan(500);
  expect(Buffer.byteLength(answer.text), what).toBeLessThanOrEqual(maxAnswerBytes);
  const body = JSON.parse(answer.text) as { errors?: unknown[]; holdfast?: { errors: unknown[] } };
  expect((body.holdfast ?? body).errors?.length ?? 0, what).toBeLessThanOrEqual(20);
}

/** Sends it, and asks that nobody else had to wait for it. Noise of the machine is not there in each of four tries. */
async function expectHarmless(ask: () => Promise<Answered>, { what, idle }: { what: string; idle: number }) {
  const seen: number[] = [];
  for (let tries = 0; tries < 4; tries++) {
    let answer: Answered | undefined;
    seen.push(
      await server.longestDelayMs(async () => {
        answer = await ask();
      }),
    );
    if (answer !== undefined) expectRefusal(answer, what);
    if ((seen.at(-1) ?? 0) <= 3 * idle) return;
  }
  expect(Math.min(...seen), `${what}: the loop stood still, idle is ${idle} ms`).toBeLessThanOrEqual(3 * idle);
}

/** The names of a body's fields. */
function fieldsOf({ body }: Route): string[] {
  if (body === undefined) return [];
  const schema = z.toJSONSchema(body, { io: "input", unrepresentable: "any" }) as {
    properties?: object;
    anyOf?: { properties?: object }[];
  };
  return [schema, ...(schema.anyOf ?? [])].flatMap(({ properties = {} }) => Object.keys(properties));
}

function bodiesFor(route: Route): Hostile[] {
  if (route.body === undefined) return hostileBodies().slice(0, 5);
  const { values, bytes } = boundsOf(route);
  const room = { values: values - 20, bytes: bytes - 1_000 };
  return [...hostileBodies(), ...hostileFields(fieldsOf(route), room), ...messages(route)];
}

/** What is right in its form and too much in its count, or wrong in every one of its items. */
function messages({ path }: Route): Hostile[] {
  if (path !== "/v1/sessions/{id}/events" && path !== "/v1/sessions") return [];
  const list = path === "/v1/sessions" ? "initial_events" : "events";
  const message = (content: unknown[]) => ({ type: "user.message", content });
  const text = { type: "text", text: "x" };
  const cases: Record<string, unknown[]> = {
    "2 000 blocks": [message(Array.from({ length: 2_000 }, () => text))],
    "2 000 wrong blocks": [message(Array.from({ length: 2_000 }, () => ({ type: "text", text: 1 })))],
    "1 000 events": Array.from({ length: 1_000 }, () => message([text])),
    "1 000 wrong events": Array.from({ length: 1_000 }, () => ({ type: 7 })),
    "an image that is none": [
      message([
        { type: "image", source: { type: "base64", media_type: "image/png", data: `${"A".repeat(3_900_000)}!` } },
      ]),
    ],
    "a prompt of 3 MB": [message([{ type: "text", text: "x".repeat(3_000_000) }])],
  };
  return Object.entries(cases).map(([what, events]) => ({
    what,
    body: Buffer.from(JSON.stringify({ [list]: events })),
  }));
}

describe("no request stalls the others, whichever route it is for", () => {
  const withBody = routes.filter(
    ({ method, tag, body }) => method !== "get" && (body !== undefined || tag === "Holdfast"),
  );

  test.each(withBody.map((route) => [`${route.method} ${route.path}`, route] as const))(
    "%s",
    async (name, route) => {
      const method = route.method.toUpperCase();
      const idle = await idleDelayMs(server);
      for (const { what, body } of bodiesFor(route)) {
        const ask = () => send(addressOf(route), { method, headers: admin, body });
        await expectHarmless(ask, { what: `${name}, ${what}`, idle });
      }
      for (const { what, body } of hostileBodies().slice(0, 5)) {
        const ask = () => send(addressOf(route), { method, headers: admin, body, chunked: true });
        await expectHarmless(ask, { what: `${name}, chunked, ${what}`, idle });
      }
    },
    240_000,
  );

  test("any route with a strange query", async () => {
    for (const route of routes) {
      const idle = await idleDelayMs(server);
      for (const { what, query } of hostileQueries()) {
        const ask = () => send(`${addressOf(route)}?${query}`, { method: route.method.toUpperCase(), headers: admin });
        await expectHarmless(ask, { what: `${route.method} ${route.path}, ${what}`, idle });
      }
    }
  }, 240_000);
});

test("without a key no more than 64 KiB is read, and nothing of it where a key is needed", async () => {
  const body = Buffer.from(`{"token":"${"x".repeat(65_000)}"}`);
  const login = await send(`${url}/v1/login`, { method: "POST", body });
  expect(login.status).toBe(400);
  const larger = Buffer.concat([body, Buffer.alloc(1_000, 0x20)]);
  expect((await send(`${url}/v1/login`, { method: "POST", body: larger })).status).toBe(413);
  expect((await send(`${url}/v1/login`, { method: "POST", body: larger, chunked: true })).status).toBe(413);
  const many = () => Promise.all(Array.from({ length: 8 }, () => send(`${url}/v1/login`, { method: "POST", body })));
  const idle = await idleDelayMs(server);
  const seen: number[] = [];
  for (let tries = 0; tries < 4; tries++) seen.push(await server.longestDelayMs(many));
  expect(Math.min(...seen), `idle is ${idle} ms`).toBeLessThanOrEqual(3 * idle);
  for (const route of routes.filter(({ auth, method }) => auth !== "none" && method !== "get")) {
    const ask = { method: route.method.toUpperCase(), body: Buffer.from("{") };
    expect((await send(addressOf(route), ask)).status, route.path).toBe(401);
  }
});

test("unknown fields and parameters of our own routes are named", async () => {
  const post = async (path: string, body: unknown) => {
    const answer = await send(`${url}${path}`, {
      method: "POST",
      headers: admin,
      body: Buffer.from(JSON.stringify(body)),
    });
    return { status: answer.status, ...(JSON.parse(answer.text) as { errors: object[] }) };
  };
  const unknown = { path: "nmae", message: "is not a field of this request" };
  for (const path of ["/v1/accounts", "/v1/api_keys", "/v1/workspaces", "/v1/sandboxes/x/stop"])
    expect(await post(path, { ...(path.endsWith("stop") ? {} : { name: "x" }), nmae: "y" }), path).toMatchObject({
      status: 400,
      errors: [unknown],
    });
  for (const path of ["/v1/workspaces", "/v1/status", "/v1/events/stream", "/health", "/login"]) {
    const answer = await send(`${url}${path}?sesions=x`, { method: "GET", headers: admin });
    expect(JSON.parse(answer.text), path).toMatchObject({ status: 400, errors: [{ path: "sesions" }] });
  }
  const theirs = await send(`${url}/v1/agents?deployment_id=x&beta=true`, { method: "GET", headers: admin });
  expect(theirs.status).toBe(400);
  expect(theirs.text).toContain("deployment_id");
  expect((await send(`${url}/v1/agents?limit=3&beta=true`, { method: "GET", headers: admin })).status).toBe(200);
});

test("a parameter that stands twice is refused on every route that takes one", async () => {
  for (const { method, path, auth, tag, query = {} } of routes) {
    const names = Object.entries(query).flatMap(([name, { form }]) => (form === "list" ? [] : [name]));
    for (const name of tag === "Managed Agents" ? [...names, "beta"] : names) {
      const address = `${url}${path.replaceAll(/\{\w+\}/g, "x")}?${name}=&${name}=`;
      const answer = await send(address, { method: method.toUpperCase(), headers: auth === "none" ? {} : admin });
      expect(answer.status, address).toBe(400);
      expect(answer.text, address).toContain(`${name}: was sent more than once`);
    }
  }
});

test("what the events of a new session ask for and nobody does is refused, what is empty is harmless", async () => {
  const create = (more: object) => {
    const event = { type: "user.message", content: [{ type: "text", text: "x" }], ...more };
    const body = Buffer.from(JSON.stringify({ initial_events: [event] }));
    return send(`${url}/v1/sessions`, { method: "POST", headers: admin, body });
  };
  const refused = await create({ sampling: 1 });
  expect(refused.status).toBe(400);
  expect(refused.text).toContain("initial_events.0.sampling");
  expect((await create({ sampling: null })).status).toBe(200);
});

test("names that mean something to JavaScript are refused or stay names", async () => {
  const session = async (metadata: string) =>
    await send(`${url}/v1/sessions`, { method: "POST", headers: admin, body: Buffer.from(`{"metadata":${metadata}}`) });
  const proto = await session('{"__proto__":"x"}');
  expect(proto.status).toBe(400);
  expect(proto.text).toContain("metadata.__proto__");
  const named = await session('{"constructor":"a","prototype":"b","toString":"c"}');
  expect(JSON.parse(named.text)).toMatchObject({ metadata: { constructor: "a", prototype: "b", toString: "c" } });
});

test("a request that names another address than a path is refused", async () => {
  for (const target of [`${url}/health`, "http://other.example/health", "https://127.0.0.1/v1/sessions", "*"])
    expect(await statusOfLine(url, `GET ${target} HTTP/1.1`), target).toBe(400);
  expect(await statusOfLine(url, "GET /health HTTP/1.1")).toBe(200);
});

test("answers are bounded by bytes: pages of events, and the queue", async () => {
  const made = await send(`${url}/v1/sessions`, { method: "POST", headers: admin, body: Buffer.from("{}") });
  const { id } = JSON.parse(made.text) as { id: string };
  const path = `${url}/v1/sessions/${id}/events`;
  const say = async () => {
    const events = [{ type: "user.message", content: [{ type: "text", text: "x".repeat(1_000_000) }] }];
    return (await send(path, { method: "POST", headers: admin, body: Buffer.from(JSON.stringify({ events })) })).status;
  };
  const statuses: number[] = [];
  for (let sent = 0; sent < 5; sent++) statuses.push(await say());
  expect(statuses).toEqual([200, 200, 200, 200, 200]);
  type Page = { data: { seq: number; type: string }[]; next_page: string | null };
  for (const order of ["asc", "desc"]) {
    const seen: number[] = [];
    for (let page: string | null = "", pages = 0; page !== null; pages++) {
      expect(pages).toBeLessThan(20);
      const answer = await send(`${path}?limit=1000&order=${order}&page=${page}`, { method: "GET", headers: admin });
      expect(Buffer.byteLength(answer.text)).toBeLessThan(2.1 * 1024 * 1024);
      const { data, next_page }: Page = JSON.parse(answer.text);
      seen.push(...data.filter(({ type }) => type === "user.message").map(({ seq }) => seq));
      page = next_page;
    }
    expect(seen).toHaveLength(5);
    expect(seen).toEqual([...seen].sort((a, b) => (order === "asc" ? a - b : b - a)));
  }
});
