import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { frames, loginToken, onPostgres, sqlOn, type TestServer, testServer } from "./_server.ts";

let it: TestServer;
beforeAll(async () => {
  it = await testServer();
});
afterAll(() => it[Symbol.asyncDispose]());

const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  it.fetch(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", origin: it.url, ...headers },
  });
const cookieOf = (answer: Response) => answer.headers.get("set-cookie")?.split(";")[0] ?? "";
const reads = async (cookie: string) => (await it.fetch("/v1/status", { headers: { cookie } })).status !== 401;

async function login(): Promise<string> {
  const answer = await it.fetch(`/login?token=${loginToken()}`);
  expect(answer.status).toBe(302);
  return cookieOf(answer);
}

test("a link works once, by either way", async () => {
  const one = loginToken();
  expect((await it.fetch(`/login?token=${one}`)).status).toBe(302);
  for (const again of [await it.fetch(`/login?token=${one}`), await post("/v1/login", { token: one })]) {
    expect(again.status).toBe(401);
    expect(again.headers.get("set-cookie")).toBeNull();
    expect(await again.json()).toMatchObject({ code: "login_link_used" });
  }
  const other = loginToken();
  const both = await Promise.all([1, 2, 3, 4].map(() => post("/v1/login", { token: other })));
  expect(both.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401]);
});

test("a link that is too old, too new, forged or of another installation", async () => {
  const minutes = (count: number) => Date.now() + count * 60_000;
  const tokens = [
    loginToken(minutes(-1)),
    loginToken(minutes(24 * 60)),
    loginToken(minutes(5), "the secret of another installation, as long"),
    loginToken().replace(/\.\d+\./, `.${minutes(9)}.`),
    loginToken().slice(0, -1),
    `${loginToken()}.x`,
    "",
  ];
  for (const token of tokens) expect((await post("/v1/login", { token })).status, token).toBe(401);
});

test("a link is not used up by a look at it, nor by a browser that looks ahead", async () => {
  const token = loginToken();
  expect((await it.fetch(`/login?token=${token}`, { method: "HEAD" })).headers.get("set-cookie")).toBeNull();
  const ahead = await it.fetch(`/login?token=${token}`, { headers: { "sec-purpose": "prefetch;prerender" } });
  expect(ahead.headers.get("set-cookie")).toBeNull();
  expect((await it.fetch(`/login?token=${token}`)).status).toBe(302);
});

test("a browser that opens a used link again is led to where it can go on", async () => {
  const token = loginToken();
  const cookie = cookieOf(await it.fetch(`/login?token=${token}`));
  const open = (headers: Record<string, string>) =>
    it.fetch(`/login?token=${token}`, { headers: { accept: "text/html,*/*", ...headers } });
  expect((await open({ cookie })).headers.get("location")).toBe("/");
  expect((await open({})).headers.get("location")).toBe("/login?problem=link");
});

test.skipIf(onPostgres())("used links are forgotten when they would have expired", async () => {
  await login();
  await sqlOn(it.dataDir, "UPDATE used_login_links SET expires_at = 1");
  await login();
  using db = new DatabaseSync(join(it.dataDir, "server.sqlite"), { readOnly: true });
  expect(db.prepare("SELECT count(*) AS kept FROM used_login_links").get()).toEqual({ kept: 1 });
});

test("logged out, a cookie is worth nothing, and what it streams ends; other browsers stay", async () => {
  const [cookie, other] = [await login(), await login()];
  const made = await post("/v1/sessions", {}, { cookie });
  const { id } = (await made.json()) as { id: string };
  const stream = await it.fetch(`/v1/sessions/${id}/events/stream`, { headers: { cookie } });
  const reader = frames(stream);
  expect((await reader.next()).done).toBe(false);
  const out = await post("/v1/logout", {}, { cookie });
  expect(out.status).toBe(204);
  expect(out.headers.get("set-cookie")).toMatch(/^holdfast_login_\d+=; .*Max-Age=0/);
  while (!(await reader.next().catch(() => ({ done: true }))).done);
  expect(await reads(cookie)).toBe(false);
  expect((await post("/v1/logout", {}, { cookie })).status).toBe(401);
  expect(await reads(other)).toBe(true);
});

test("logging out needs a page of our own, and with everywhere it ends every browser of the account alone", async () => {
  const [cookie, other] = [await login(), await login()];
  const alice = await it.account("alice");
  const hers = cookieOf(await post("/v1/login", { api_key: alice.apiKey }));
  expect((await post("/v1/logout", {}, { cookie, origin: "https://evil.example" })).status).toBe(403);
  expect(await reads(cookie)).toBe(true);
  expect((await post("/v1/logout", { everywhere: true }, { cookie })).status).toBe(204);
  expect([await reads(cookie), await reads(other), await reads(hers)]).toEqual([false, false, true]);
});

test("another instance's cookie on the same host is no log-out, and a foreign one no login", async () => {
  const cookie = await login();
  const [name = "", value] = cookie.split("=");
  expect(name).toBe(`holdfast_login_${new URL(it.url).port}`);
  expect(await reads(`holdfast_login_1=x.1.y; holdfast_login=a~b.2.c; ${cookie}`)).toBe(true);
  expect(await reads(`holdfast_login_1=${value}`)).toBe(false);
});

test("an account has a hundred logins at the most; the oldest end", async () => {
  const bob = await it.account("bob");
  const logIn = async () => cookieOf(await post("/v1/login", { api_key: bob.apiKey }));
  const first = await logIn();
  for (let n = 0; n < 99; n++) await logIn();
  expect(await reads(first)).toBe(true);
  const last = await logIn();
  expect([await reads(first), await reads(last)]).toEqual([false, true]);
});
