import { cpSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeProvider } from "./_provider.ts";
import { loginToken, testServer } from "./_server.ts";

let dataDir: string;
let provider: FakeProvider;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "holdfast-strays-"));
  provider = new FakeProvider();
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const modalOf = (installationId: string) => ({
  serverUrl: "http://127.0.0.1:1",
  tokenId: "x",
  tokenSecret: "x",
  installationId,
});
const start = (options: Parameters<typeof testServer>[0] = {}, installationId = "mine") =>
  testServer({ dataDir, modal: modalOf(installationId), sweepEveryMs: 50, ...options }, { provider });
type It = Awaited<ReturnType<typeof start>>;

interface Listed {
  id: string;
  provider_id: string;
  state: string;
  created_at: string;
  unknown: { account_id: string; kept_until: string; detail: string | null } | null;
}

/** Whoever logs in by the link is the administrator. */
async function asAdmin(it: It) {
  const login = await it.fetch(`/login?token=${loginToken()}`);
  const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
  const get = (path: string, init: RequestInit = {}) =>
    it.fetch(path, { ...init, headers: { cookie, "content-type": "application/json", origin: it.url } });
  const list = async () => ((await (await get("/v1/sandboxes?limit=100")).json()) as { data: Listed[] }).data;
  const sweep = async () =>
    ((await (await get("/v1/sweep")).json()) as { last: { running: number; unknown: number } | null }).last;
  return { get, list, sweep };
}

async function listed(it: It, key: string): Promise<Listed[]> {
  return ((await (await it.fetch("/v1/sandboxes", { key })).json()) as { data: Listed[] }).data;
}

async function workspaceOf(it: It) {
  const { id: accountId, apiKey: key } = await it.account("owner");
  const made = await it.fetch("/v1/workspaces", { key, method: "POST", body: JSON.stringify({ name: "project" }) });
  const { id } = (await made.json()) as { id: string };
  const tags = { "holdfast.installation": "mine", "holdfast.account": accountId, "holdfast.workspace": id };
  return { key, tags };
}

const lost = {
  "holdfast.installation": "mine",
  "holdfast.account": "acc_01AAAAAAAAAAAAAAAAAAAAAAAA",
  "holdfast.workspace": "wsp_01BBBBBBBBBBBBBBBBBBBBBBBB",
};

test("an unknown sandbox is shown to the administrator alone, and its time outlasts a restart", async () => {
  const stray = provider.add(lost);
  let seen: Listed | undefined;
  {
    await using it = await start();
    const admin = await asAdmin(it);
    await expect.poll(async () => (await admin.list()).length).toBe(1);
    [seen] = await admin.list();
    expect(seen).toMatchObject({ id: stray.id, state: "unknown", unknown: { account_id: lost["holdfast.account"] } });
    const { key } = await workspaceOf(it);
    expect(await (await it.fetch("/v1/sandboxes", { key })).json()).toMatchObject({ data: [] });
    expect((await it.fetch(`/v1/sandboxes/${stray.id}`, { key })).status).toBe(404);
    expect((await it.fetch(`/v1/sandboxes/${stray.id}/stop`, { key, method: "POST", body: "{}" })).status).toBe(404);
  }
  await using it = await start();
  const admin = await asAdmin(it);
  await expect.poll(async () => (await admin.sweep())?.unknown).toBe(1);
  expect((await admin.list())[0]).toEqual(seen);
  expect(stray.running).toBe(true);
});

test("the administrator ends an unknown one at once", async () => {
  const stray = provider.add(lost);
  await using it = await start();
  const admin = await asAdmin(it);
  await expect.poll(async () => (await admin.list()).length).toBe(1);
  const answer = await admin.get(`/v1/sandboxes/${stray.id}/stop`, { method: "POST", body: "{}" });
  expect(await answer.json()).toMatchObject({ id: stray.id, state: "ended" });
  expect(stray.running).toBe(false);
  expect(await admin.list()).toEqual([]);
});

test("without storage an unknown one is kept when its time is over, and its row says why", async () => {
  const stray = provider.add(lost);
  await using it = await start({ unknownSandboxKeptMs: 1 });
  const admin = await asAdmin(it);
  await expect.poll(async () => (await admin.list())[0]?.unknown?.detail).toMatch(/^Kept unsaved: /);
  expect(stray.running).toBe(true);
});

test("one with the tags of no account is never saved to a prefix of its own choice", async () => {
  const stray = provider.add({ ...lost, "holdfast.account": "../acc_other" });
  await using it = await start({ unknownSandboxKeptMs: 1 });
  const admin = await asAdmin(it);
  await expect.poll(async () => (await admin.list())[0]?.unknown?.detail).toMatch(/name no account/);
  expect(stray.running).toBe(true);
});

test("with the right database put back, its sandboxes are its own again", async () => {
  const backup = join(dataDir, "backup");
  let key = "";
  let sandbox = provider.add({});
  {
    await using it = await start();
    const workspace = await workspaceOf(it);
    ({ key } = workspace);
    sandbox = provider.add(workspace.tags);
    await expect.poll(async () => (await listed(it, key)).length).toBe(1);
  }
  const file = join(dataDir, "server.sqlite");
  renameSync(file, backup);
  {
    await using it = await start();
    const admin = await asAdmin(it);
    await expect.poll(async () => (await admin.list()).map(({ id }) => id)).toEqual([sandbox.id]);
  }
  for (const end of ["", "-wal", "-shm"]) rmSync(`${file}${end}`, { force: true });
  renameSync(backup, file);
  await using it = await start();
  const admin = await asAdmin(it);
  await expect.poll(async () => (await admin.sweep())?.running).toBe(1);
  expect(await listed(it, key)).toMatchObject([{ provider_id: sandbox.id, state: "running", unknown: null }]);
  expect(await admin.list()).toEqual([]);
  expect(sandbox.running).toBe(true);
});

test("a copied database under another installation id touches nothing of the original", async () => {
  const copyDir = mkdtempSync(join(tmpdir(), "holdfast-copy-"));
  try {
    await using original = await start({ sandbox: { idleSandboxMs: 60_000 } });
    const { key, tags } = await workspaceOf(original);
    const sandbox = provider.add(tags);
    await expect.poll(async () => (await listed(original, key)).length).toBe(1);
    cpSync(dataDir, copyDir, { recursive: true });
    {
      await using copy = await start({ dataDir: copyDir, sandbox: { idleSandboxMs: 50 } }, "copied");
      const own = provider.add({ ...tags, "holdfast.installation": "copied" });
      // Its own is stopped for being idle; the row of the original's is settled in the copy alone.
      await expect.poll(() => own.running).toBe(false);
      await copy.fetch(`/v1/workspaces/${tags["holdfast.workspace"]}`, { key, method: "DELETE" });
      expect(provider.deleted).toEqual([]);
      await copy.server.endTurns();
    }
    expect(sandbox.running).toBe(true);
    expect(await listed(original, key)).toMatchObject([{ state: "running" }]);
  } finally {
    rmSync(copyDir, { recursive: true, force: true });
  }
});
