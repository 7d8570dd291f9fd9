import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openAccounts } from "@holdfast/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { frames, loginToken, type TestServer, testServer, until } from "./_server.ts";

let it: TestServer;
let admin: string;
beforeAll(async () => {
  it = await testServer();
  const cookie = await login({ token: loginToken() });
  const made = await it.fetch("/v1/api_keys", {
    ...json({ name: "admin" }),
    headers: { cookie, origin: it.url },
  });
  admin = ((await made.json()) as { api_key: string }).api_key;
});
afterAll(() => it?.[Symbol.asyncDispose]());

const json = (body: unknown) => ({ method: "POST", body: JSON.stringify(body) });

async function login(body: object): Promise<string> {
  const answer = await it.fetch("/v1/login", json(body));
  expect(answer.status).toBe(200);
  return answer.headers.get("set-cookie")?.split(";")[0] ?? "";
}

interface Made {
  id: string;
  name: string;
  created_at: string;
  api_key: string;
}

async function account(name: string): Promise<Made> {
  const answer = await it.fetch("/v1/accounts", { key: admin, ...json({ name }) });
  expect(answer.status).toBe(201);
  return (await answer.json()) as Made;
}

async function problem(answer: Response) {
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  const body = (await answer.json()) as { code: string; type: string; remedy: string };
  expect(body.type).toBe(`/docs/problems#${body.code}`);
  expect(body.remedy).not.toBe("");
  return { status: answer.status, code: body.code };
}

describe("accounts", () => {
  test("the administrator makes and sees all; the others see themselves", async () => {
    const made = await account("Alice");
    expect(made).toMatchObject({ id: expect.stringMatching(/^acc_/), name: "Alice" });
    const all = (await (await it.fetch("/v1/accounts", { key: admin })).json()) as { data: Made[]; next_page: null };
    expect(all.data.map(({ name }) => name)).toEqual(expect.arrayContaining(["default", "Alice"]));
    expect(JSON.stringify(all)).not.toContain("hfk_");
    const own = (await (await it.fetch("/v1/accounts", { key: made.api_key })).json()) as { data: Made[] };
    expect(own.data.map(({ id }) => id)).toEqual([made.id]);
    const refused = await it.fetch("/v1/accounts", { key: made.api_key, ...json({ name: "Mallory" }) });
    expect(await problem(refused)).toEqual({ status: 403, code: "admin_only" });
  });

  test("names that are taken, wrong or missing", async () => {
    await account("Bob");
    const post = async (body: unknown) => await problem(await it.fetch("/v1/accounts", { key: admin, ...json(body) }));
    expect(await post({ name: "Bob" })).toEqual({ status: 409, code: "account_exists" });
    expect(await post({ name: "a/b" })).toEqual({ status: 400, code: "account_name_invalid" });
    expect(await post({ name: 7 })).toEqual({ status: 400, code: "request_invalid" });
    expect(await post({})).toEqual({ status: 400, code: "request_invalid" });
  });
});

describe("API keys", () => {
  test("shown once, hashed at rest, listed by prefix, revoked at once", async () => {
    const carol = await account("Carol");
    const made = (await (
      await it.fetch("/v1/api_keys", { key: carol.api_key, ...json({ name: "laptop \u0000\ud800" }) })
    ).json()) as Made & { prefix: string };
    expect(made.api_key.startsWith(made.prefix)).toBe(true);
    const list = async (query = "") =>
      (await (await it.fetch(`/v1/api_keys${query}`, { key: carol.api_key })).json()) as {
        data: { id: string; name: string; revoked_at: string | null; last_used_at: string | null }[];
        next_page: string | null;
      };
    expect((await list()).data.map(({ name }) => name)).toEqual(["first", "laptop \u0000\ud800"]);
    const page = await list("?limit=1");
    expect((await list(`?limit=1&page=${page.next_page}`)).data.map(({ id }) => id)).toEqual([made.id]);
    const files = ["server.sqlite", "server.sqlite-wal"].filter((name) => existsSync(join(it.dataDir, name)));
    for (const name of files) {
      expect(readFileSync(join(it.dataDir, name)).includes(made.api_key)).toBe(false);
    }

    expect((await it.fetch("/v1/sessions", { key: made.api_key })).status).toBe(200);
    const cookie = await login({ api_key: made.api_key });
    expect((await it.fetch("/v1/sessions", { headers: { cookie } })).status).toBe(200);
    const { id: sessionId } = (await (await it.fetch("/v1/sessions", { key: made.api_key, ...json({}) })).json()) as {
      id: string;
    };
    const open = await it.fetch(`/v1/sessions/${sessionId}/events/stream`, { key: made.api_key });
    const stream = frames(open);
    await until(stream, ({ data }) => data.type === "holdfast.stream");

    const revoked = await it.fetch(`/v1/api_keys/${made.id}`, { key: carol.api_key, method: "DELETE" });
    expect(await revoked.json()).toMatchObject({ id: made.id, revoked_at: expect.any(String) });
    expect((await stream.next()).done).toBe(true);
    expect((await it.fetch("/v1/sessions", { key: made.api_key })).status).toBe(401);
    expect((await it.fetch("/v1/sessions", { headers: { cookie } })).status).toBe(401);
    expect((await it.fetch("/v1/login", json({ api_key: made.api_key }))).status).toBe(401);
    expect((await list()).data[1]?.revoked_at).not.toBeNull();
    expect((await list()).data[0]?.last_used_at).not.toBeNull();
  });

  test("another account's key cannot be revoked", async () => {
    const [dave, erin] = [await account("Dave"), await account("Erin")];
    const { data } = (await (await it.fetch("/v1/api_keys", { key: dave.api_key })).json()) as { data: Made[] };
    const id = data[0]?.id ?? "";
    const answer = await it.fetch(`/v1/api_keys/${id}`, { key: erin.api_key, method: "DELETE" });
    expect(await problem(answer)).toEqual({ status: 404, code: "api_key_not_found" });
    expect((await it.fetch("/v1/sessions", { key: dave.api_key })).status).toBe(200);
  });

  test("a login by key is its account's, not the administrator's", async () => {
    const fred = await account("Fred");
    const cookie = await login({ api_key: fred.api_key });
    const answer = await it.fetch("/v1/accounts", {
      ...json({ name: "nobody" }),
      headers: { cookie, origin: it.url },
    });
    expect(await problem(answer)).toEqual({ status: 403, code: "admin_only" });
    for (const body of [{}, { api_key: 7 }, { token: null }]) {
      expect(await problem(await it.fetch("/v1/login", json(body)))).toEqual({ status: 400, code: "request_invalid" });
    }
  });
});

test("another list's cursor is refused", async () => {
  const cursor = Buffer.from(JSON.stringify(["sessions", "asc", "x"])).toString("base64url");
  for (const path of ["accounts", "api_keys", "workspaces", "sandboxes"]) {
    const answer = await it.fetch(`/v1/${path}?page=${cursor}`, { key: admin });
    expect(await problem(answer), path).toEqual({ status: 400, code: "request_invalid" });
  }
});

test("ready says what is missing, without paths", async () => {
  const answer = await it.fetch("/ready");
  const body = (await answer.clone().json()) as { errors: { path: string }[] };
  expect(await problem(answer)).toEqual({ status: 503, code: "not_ready" });
  expect(body.errors.map(({ path }) => path)).toEqual(["engine", "gateway"]);
});

test.each(["nonsense", "mysql://x/y", "postgresql://host"])(
  "the address %s is refused in words",
  async (databaseUrl) => {
    await expect(openAccounts({ databaseUrl })).rejects.toMatchObject({
      name: "DatabaseOpenError",
      todo: expect.stringContaining("postgresql://user:password@host:5432/database"),
    });
  },
);
