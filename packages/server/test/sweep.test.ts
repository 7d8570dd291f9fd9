import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeProvider } from "./_provider.ts";
import { testServer } from "./_server.ts";

let dataDir: string;
let provider: FakeProvider;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "holdfast-sweep-"));
  provider = new FakeProvider();
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const modal = { serverUrl: "http://127.0.0.1:1", tokenId: "x", tokenSecret: "x", installationId: "mine" };
const start = (sandbox = { idleSandboxMs: 60_000 }) =>
  testServer({ dataDir, modal, sandbox, sweepEveryMs: 50 }, { provider });

interface Listed {
  data: { id: string; provider_id: string; state: string }[];
}

async function workspaceOf(it: Awaited<ReturnType<typeof start>>, name = "project") {
  const { id: accountId, apiKey: key } = await it.account(`owner of ${name}`);
  const made = await it.fetch("/v1/workspaces", { key, method: "POST", body: JSON.stringify({ name }) });
  const { id } = (await made.json()) as { id: string };
  const tags = { "holdfast.installation": "mine", "holdfast.account": accountId, "holdfast.workspace": id };
  const list = async () => (await (await it.fetch("/v1/sandboxes", { key })).json()) as Listed;
  return { id, key, tags, list };
}

test("a sandbox that nobody uses is adopted, then stopped for being idle", async () => {
  await using it = await start({ idleSandboxMs: 300 });
  const { tags, list } = await workspaceOf(it);
  const left = provider.add(tags);
  await expect.poll(async () => (await list()).data.map((each) => each.provider_id)).toEqual([left.id]);
  expect(left.running).toBe(true);
  await expect.poll(() => left.running).toBe(false);
  await expect.poll(async () => (await list()).data).toEqual([]);
});

test("a row whose sandbox is gone is settled at the next start", async () => {
  let sandboxId = "";
  let key = "";
  {
    await using it = await start();
    const workspace = await workspaceOf(it);
    provider.add(workspace.tags);
    await expect.poll(async () => (await workspace.list()).data.length).toBe(1);
    ({ key } = workspace);
    sandboxId = (await workspace.list()).data[0]?.id ?? "";
  }
  expect(provider.sandboxes[0]?.running).toBe(true);
  provider.sandboxes[0]?.end();
  await using it = await start();
  const state = async () =>
    ((await (await it.fetch(`/v1/sandboxes/${sandboxId}`, { key })).json()) as { state: string }).state;
  await expect.poll(state).toBe("ended");
});

test("another installation's sandboxes are never touched, nor are unknown ones ended at once", async () => {
  await using it = await start({ idleSandboxMs: 100 });
  const { tags } = await workspaceOf(it);
  const foreign = provider.add({ ...tags, "holdfast.installation": "another" });
  const unknown = provider.add({ ...tags, "holdfast.workspace": "wsp_of_a_lost_database" });
  const ours = provider.add(tags);
  await expect.poll(() => ours.running).toBe(false);
  expect([foreign.running, unknown.running]).toEqual([true, true]);
});

test("one of two sandboxes of a workspace is kept", async () => {
  await using it = await start();
  const { tags, list } = await workspaceOf(it);
  provider.add(tags);
  provider.add(tags);
  await expect.poll(async () => (await list()).data.length).toBe(1);
  await expect.poll(() => provider.sandboxes.filter(({ running }) => running).length).toBe(1);
});

test("volumes of a deleted workspace that the provider does not delete are tried again", async () => {
  await using it = await start();
  const { id, key, tags, list } = await workspaceOf(it);
  const sandbox = provider.add(tags);
  await expect.poll(async () => (await list()).data.length).toBe(1);
  provider.volumesStuck = true;
  const answer = await it.fetch(`/v1/workspaces/${id}`, { key, method: "DELETE" });
  expect(await answer.json()).toMatchObject({ deleted: true, gone: { sandbox: sandbox.id, volumes: "pending" } });
  expect(sandbox.running).toBe(false);
  expect((await it.fetch(`/v1/workspaces/${id}`, { key })).status).toBe(404);
  provider.volumesStuck = false;
  await expect.poll(() => provider.deleted.length).toBe(2);
  expect(provider.deleted.every((name) => name.includes(id))).toBe(true);
});
