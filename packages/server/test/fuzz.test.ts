import { Agent, request } from "node:http";
import { type ProblemCode, problems, type Route, routes } from "@holdfast/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { problemsOf } from "../src/http/openapi.ts";
import { loginToken, onPostgres, type TestServer, testServer } from "./_server.ts";

/** What differs on PostgreSQL is found by fewer. */
const total = onPostgres() ? 2_000 : 10_000;
const seed = Number(process.env.FUZZ_SEED ?? 20260);

let it: TestServer;
let keys: string[];
let known: string[];
const agent = new Agent({ keepAlive: true, maxSockets: 16 });

beforeAll(async () => {
  it = await testServer();
  const [one, two] = [await it.account("one"), await it.account("two")];
  keys = [one.apiKey, two.apiKey];
  const made = async (path: string, body: object) =>
    (
      (await (await it.fetch(path, { key: one.apiKey, method: "POST", body: JSON.stringify(body) })).json()) as {
        id: string;
      }
    ).id;
  known = [
    await made("/v1/sessions", {}),
    await made("/v1/workspaces", { name: "project" }),
    await made("/v1/api_keys", { name: "spare" }),
    await made("/v1/agents", { name: "an agent", model: "claude-sonnet-4-5" }),
    await made("/v1/environments", { name: "an environment" }),
    one.id,
  ].filter((id) => id !== undefined);
});
afterAll(async () => {
  agent.destroy();
  await it?.[Symbol.asyncDispose]();
});

type Random = () => number;

/** The same numbers for the same seed. */
function mulberry32(start: number): Random {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const pick = <T>(random: Random, from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;

const strings = [
  "",
  " ",
  "x",
  "default",
  "claude-sonnet-4-5",
  "user.message",
  "\u0000",
  "\ud800",
  "🚀ü",
  "'; drop table accounts; --",
  "__proto__",
  "constructor",
  "%s%n",
  "x".repeat(70_000),
  "../../etc/passwd",
  "null",
  "-1",
  "1e999",
  "2026-02-30T99:99:99Z",
];
const words = [
  ..."name agent environment_id title metadata events type content text model system tools version config".split(" "),
  ..."packages holdfast image_commands command timeout_ms user api_key token tool_use_id result deny_message".split(
    " ",
  ),
  ..."networking configs permission_policy enabled scope description source data media_type id".split(" "),
  ...["__proto__", "constructor", "toString", "holdfast.workspace"],
];

function value(random: Random, depth: number): unknown {
  const kind = Math.floor(random() * (depth <= 0 ? 6 : 8));
  if (kind === 0) return pick(random, strings);
  if (kind === 1) return pick(random, [0, -1, 1, 3.5, 1e21, Number.MAX_SAFE_INTEGER, 2 ** 31]);
  if (kind === 2) return random() < 0.5;
  if (kind === 3) return null;
  if (kind === 4) return pick(random, known);
  if (kind === 5) return pick(random, words);
  const size = Math.floor(random() * 4);
  if (kind === 6) return Array.from({ length: size }, () => value(random, depth - 1));
  return Object.fromEntries(Array.from({ length: size }, () => [pick(random, words), value(random, depth - 1)]));
}

/** Right but for one place, more or less: what gets past the first check. */
function plausible(random: Random): unknown {
  const text = { type: "text", text: pick(random, strings) };
  const body = pick<Record<string, unknown>>(random, [
    { events: [{ type: "user.message", content: [text] }] },
    {
      events: [{ type: "user.interrupt" }, { type: "user.tool_confirmation", tool_use_id: "sevt_x", result: "allow" }],
    },
    { name: pick(random, strings), model: pick(random, ["claude-sonnet-4-5", { id: "x" }, 7]), tools: [] },
    { name: pick(random, strings), config: { type: "cloud", networking: { type: "unrestricted" }, packages: {} } },
    { agent: pick(random, known), environment_id: pick(random, known), title: pick(random, strings), metadata: {} },
    { command: [pick(random, strings)], user: pick(random, ["root", "claudeuser", "bob"]), timeout_ms: 1000 },
    { name: pick(random, strings) },
    { token: pick(random, strings) },
    { api_key: pick(random, strings) },
    { version: 1, name: pick(random, strings), metadata: { a: pick(random, strings) } },
  ]);
  if (random() < 0.5) body[pick(random, words)] = value(random, 3);
  return body;
}

function bodyOf(random: Random): Uint8Array | undefined {
  const kind = random();
  if (kind < 0.1) return undefined;
  if (kind < 0.55) return Buffer.from(JSON.stringify(plausible(random)));
  if (kind < 0.8) return Buffer.from(JSON.stringify(value(random, 5)) ?? "");
  if (kind < 0.85) return Buffer.from("[".repeat(20_000) + "]".repeat(20_000));
  if (kind < 0.9) return Buffer.from(`${'{"events":'.repeat(5_000)}1${"}".repeat(5_000)}`);
  if (kind < 0.95) return Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]);
  return Buffer.from(pick(random, ["{", "nul", '{"a":1}}', '"', "\u0000", "[1,2", '{"name":"a","name":"b"}']));
}

const segments = ["x", "%00", "..%2F..%2Fetc", "%F0%9F%9A%80", "sesn_".padEnd(3000, "0"), "'", "%25", "%C3%28", "0"];
const queries = ["limit", "page", "order", "types", "after", "event_deltas[]", "created_at[gte]", "version", "nothing"];
const cursor = (...parts: unknown[]) => Buffer.from(JSON.stringify(parts)).toString("base64url");

function queryOf(random: Random): string {
  const parts = Array.from({ length: Math.floor(random() * 3) }, () => {
    const cursors = [
      cursor("sessions", "desc", "x"),
      cursor("workspaces", "asc", {}),
      cursor(1),
      "!!!",
      "W10",
      "bnVsbA",
    ];
    const values = ["", "0", "1", "-1", "1e9", "99999999999999999999", "asc", "desc", "%00", "%FF", "a,b", ...cursors];
    return `${pick(random, queries)}=${pick(random, values)}`;
  });
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}

interface Shot {
  route: Route;
  method: string;
  path: string;
  headers: Record<string, string>;
  body: Uint8Array | undefined;
}

function shot(random: Random): Shot {
  const route = pick(random, routes);
  const id = random() < 0.6 ? pick(random, known) : pick(random, segments);
  const method = random() < 0.85 ? route.method.toUpperCase() : pick(random, ["GET", "POST", "PUT", "DELETE", "PATCH"]);
  const headers: Record<string, string> = {};
  const who = random();
  if (who < 0.85) headers["x-api-key"] = pick(random, keys);
  else if (who < 0.9)
    headers.authorization = pick(random, ["Bearer", "Bearer x", "Basic eDp5", `Bearer ${"k".repeat(9000)}`]);
  else if (who < 0.95)
    headers.cookie = pick(
      random,
      ["=a.b.c", "=", "=.."].map((rest) => `a=b; holdfast_login_${new URL(it.url).port}${rest}`),
    );
  const odd = random();
  if (odd < 0.05) headers["last-event-id"] = pick(random, ["-1", "x", "9".repeat(40), "1"]);
  else if (odd < 0.1) headers["idempotency-key"] = pick(random, ["", "same", "k".repeat(5000)]);
  else if (odd < 0.12) headers["x-big"] = "h".repeat(12_000);
  else if (odd < 0.13) headers["x-huge"] = "h".repeat(40_000);
  else if (odd < 0.16) headers["x-stainless-retry-count"] = pick(random, ["1", "-1", "NaN", "1e9"]);
  else if (odd < 0.18) headers.host = pick(random, ["evil.example", "", "127.0.0.1:1"]);
  else if (odd < 0.2) headers.origin = pick(random, ["null", "https://evil.example", "::"]);
  // Nearly all of the others are refused by their fields or parameters: these get behind that.
  const named = random() < 0.3;
  const some = () => (named ? Buffer.from(JSON.stringify({ name: `n ${random()}` })) : bodyOf(random));
  const body = method === "GET" ? undefined : some();
  // Node frames the body of a DELETE only when told to.
  headers["content-length"] = String(body?.length ?? 0);
  const path = route.path.replaceAll(/\{\w+\}/g, id) + (named ? "" : queryOf(random));
  return { route, method, path, headers, body };
}

interface Answer {
  status: number;
  type: string;
  text: string;
}

/** Streams are left as soon as they have begun. */
function fire({ method, path, headers, body }: Shot): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const out = request(`${it.url}${path}`, { method, agent, headers, timeout: 20_000 }, (response) => {
      const type = response.headers["content-type"] ?? "";
      const answer = { status: response.statusCode ?? 0, type };
      if (type.startsWith("text/event-stream")) {
        response.destroy();
        resolve({ ...answer, text: "" });
        return;
      }
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve({ ...answer, text: Buffer.concat(chunks).toString() }));
      response.on("error", reject);
    });
    out.on("timeout", () => out.destroy(new Error("no answer in 20 s")));
    out.on("error", reject);
    out.end(body);
  });
}

const leaks = /node_modules|\.ts:\d|\n\s+at |\/packages\/|SQLITE|sqlite|ZodError|TypeError|undefined is not/;

function judge(sent: Shot, { status, type, text }: Answer): string | undefined {
  if (leaks.test(text) && !type.startsWith("text/html")) return `leaks: ${text.slice(0, 400)}`;
  if (text.includes(it.dataDir)) return "names a path of the server";
  if (status < 400) return undefined;
  // What the parser of HTTP itself refuses.
  if (status === 431 || (status === 400 && text === "")) return undefined;
  const body = JSON.parse(text) as { code?: string; holdfast?: { code?: string } };
  const code = (body.code ?? body.holdfast?.code) as ProblemCode;
  if (problems[code]?.status !== status) return `status ${status} with code ${code}`;
  if (status >= 500 && (code === "internal" || !problemsOf(sent.route).includes(code))) {
    return `an undeclared ${status} ${code}`;
  }
  return undefined;
}

test(`${total} requests of every kind: an answer of the right class, nothing leaks, nothing breaks`, async () => {
  const random = mulberry32(seed);
  const shots = Array.from({ length: total }, () => shot(random));
  const wrong: string[] = [];
  const statuses = new Map<number, number>();
  const lane = async () => {
    for (let next = shots.pop(); next !== undefined; next = shots.pop()) {
      const { method, path, headers, body } = next;
      const about = () =>
        `${method} ${path.slice(0, 120)} ${JSON.stringify(headers).slice(0, 200)} ${Buffer.from(body ?? [])
          .toString()
          .slice(0, 300)}`;
      try {
        const answer = await fire(next);
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        const fault = judge(next, answer);
        if (fault !== undefined) wrong.push(`${fault}\n  ${about()}`);
      } catch (error) {
        // The parser of HTTP hangs up on such headers, whatever else is still on its way.
        if (headers["x-huge"] !== undefined) continue;
        wrong.push(`${error instanceof Error ? error.message : String(error)}\n  ${about()}`);
      }
    }
  };
  await Promise.all(Array.from({ length: 12 }, lane));
  expect(wrong.slice(0, 10), `seed ${seed}, ${wrong.length} wrong`).toEqual([]);
  // It got somewhere: not everything was refused at the door.
  for (const status of [200, 201, 400, 401, 403, 404, 405])
    expect(statuses.get(status) ?? 0, `${status}`).toBeGreaterThan(5);
  expect(await (await it.fetch("/health")).json()).toEqual({ status: "ok", unhandled_rejections: {} });
  expect((await it.fetch("/v1/login", { method: "POST", body: JSON.stringify({ token: loginToken() }) })).status).toBe(
    200,
  );
}, 60_000);
