import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { AccountDeleted } from "@holdfast/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { adminKey } from "./_admin.ts";
import { answering, begin } from "./_claude-lines.ts";
import { type LocalSystem, localSystem, request } from "./_local-server.ts";
import { frames, onPostgres, userMessage } from "./_server.ts";
import { rowsWith } from "./_tables.ts";

/** A gateway that notes what was revoked, or does not answer. */
interface Gateway extends AsyncDisposable {
  url: string;
  revoked: string[];
  away: boolean;
}

async function openGateway(): Promise<Gateway> {
  const server = createServer(async (asked, answer) => {
    let body = "";
    for await (const chunk of asked) body += String(chunk);
    if (gateway.away) {
      answer.writeHead(500).end();
      return;
    }
    if (asked.url === "/admin/revoke") gateway.revoked.push((JSON.parse(body) as { sbx: string }).sbx);
    const status = { mode: "scripted", credential: { source: null, last4: null } };
    answer.setHeader("content-type", "application/json").end(JSON.stringify(status));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const gateway: Gateway = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    revoked: [],
    away: false,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return gateway;
}

let gateway: Gateway;
let it: LocalSystem;
let admin: string;
beforeEach(async () => {
  gateway = await openGateway();
  it = await localSystem({
    gateway: { adminUrl: gateway.url, adminToken: "x", tokenSecret: "s".repeat(32) },
    // Only when a test says so, by starting another server.
    sweepEveryMs: 3_600_000,
  });
  admin = await adminKey(it.server);
});
afterEach(async () => {
  await it?.[Symbol.asyncDispose]();
  await gateway?.[Symbol.asyncDispose]();
});

const word = () => `canary${randomBytes(12).toString("hex")}`;
const call = (key: string, method: string, path: string, body?: unknown) =>
  request(it.server, key, { method, path, body });
const remove = async (id: string) => {
  const { status, body } = await call(admin, "DELETE", `/v1/accounts/${id}`);
  return { status, body: body as unknown as AccountDeleted & { code: string } };
};
const volumes = () => {
  const folder = join(it.sandboxes.folder, "volumes");
  return existsSync(folder) ? readdirSync(folder) : [];
};
const filesWith = (text: string) =>
  readdirSync(it.dataDir).filter(
    (name) => name.includes("sqlite") && readFileSync(join(it.dataDir, name)).includes(text),
  );
const database = () => ({ dataDir: it.dataDir });

/** Tables that say whose a row is. */
function tablesOfAccounts(): string[] {
  using db = new DatabaseSync(join(it.dataDir, "server.sqlite"), { readOnly: true });
  const tables = db
    .prepare(
      "select m.name from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table' and c.name = 'account_id'",
    )
    .all();
  return tables.map(({ name }) => String(name)).sort();
}

interface Furnished {
  id: string;
  key: string;
  cookie: string;
  sessionId: string;
  workspaceId: string;
}

/** An account with something in every table, the word in what a user writes. No sandbox runs. */
async function furnish(name: string, canary: string): Promise<Furnished> {
  const { id, apiKey: key } = await it.server.account(name);
  const made = async (path: string, body: object) => {
    const { status, body: answer } = await call(key, "POST", path, body);
    expect({ path, ok: status < 300, answer }).toMatchObject({ ok: true });
    return answer as { id: string };
  };
  await made("/v1/api_keys", { name: canary });
  await made("/v1/agents", { name: canary, model: "claude-x" });
  await made("/v1/environments", { name: canary });
  const session = { agent: "agent_default", environment_id: "env_default", title: canary };
  const { id: sessionId } = await made("/v1/sessions", session);
  const login = await it.server.fetch("/v1/login", { method: "POST", body: JSON.stringify({ api_key: key }) });
  const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
  const [workspace] = it.rows<{ id: string }>("select id from workspaces where account_id = ?", id);
  const workspaceId = workspace?.id ?? "";
  const unique = randomBytes(8).toString("hex");
  it.write(
    "insert into permission_rules values (?, ?, ?, ?, ?, 'x', 1, null)",
    ...[`rule_${unique}`, id, workspaceId, `Bash(${canary})`, sessionId],
  );
  it.write(
    "insert into syncs (id, account_id, workspace_id, session_id, timestamp, state, created_at, manifest_json) values (?, ?, ?, ?, 1, 'done', 1, ?)",
    ...[`sync_${unique}`, id, workspaceId, sessionId, JSON.stringify({ canary })],
  );
  it.write("insert into strays values (?, ?, ?, 1, 9e15, ?)", `sb-stray-${unique}`, id, workspaceId, canary);
  it.write("insert into erasures values (?, ?, 1)", workspaceId, `${canary}`);
  it.write(
    "insert into sandboxes (id, workspace_id, account_id, state, provider_id, tags_json, created_at, updated_at, revoked_at) values (?, ?, ?, 'ended', ?, '{}', 1, ?, null)",
    ...[`sbx_${unique}`, workspaceId, id, `sb-old-${unique}`, Date.now()],
  );
  return { id, key, cookie, sessionId, workspaceId };
}

/** Every row in which the account occurs, whatever the table. */
async function traces(account: Furnished, canary: string): Promise<string[]> {
  const texts = [account.id, account.sessionId, account.workspaceId, canary];
  const found = await Promise.all(texts.map((text) => rowsWith(database(), text)));
  return [...new Set(found.flat())].sort();
}

test.skipIf(onPostgres())(
  "nothing of a deleted account is anywhere any more, and of another one everything",
  async () => {
    const canary = word();
    const kept = word();
    const account = await furnish("leaves", canary);
    const neighbour = await furnish("stays", kept);
    const talk = async (key: string, sessionId: string, text: string) => {
      expect((await call(key, "POST", `/v1/sessions/${sessionId}/events`, userMessage(text))).status).toBe(200);
      const idle = async () => (await call(key, "GET", `/v1/sessions/${sessionId}/events?limit=1000`)).body;
      await expect.poll(async () => JSON.stringify(await idle()), { timeout: 15_000 }).toContain("session.status_idle");
    };
    it.sandboxes.stage.script = answering;
    await talk(neighbour.key, neighbour.sessionId, kept);
    await talk(account.key, account.sessionId, canary);
    const sandbox = it.sandboxes.last;
    for (const name of Object.values(sandbox.spec.volumes)) writeFileSync(join(sandbox.volume(name), "file"), canary);
    // A second one, whose turn runs and ends only when it is ended.
    it.sandboxes.stage.script = async (claude) => begin(claude, await claude.nextUser());
    const input = { agent: "agent_default", environment_id: "env_default" };
    const busy = (await call(account.key, "POST", "/v1/sessions", input)).body as { id: string };
    await call(account.key, "POST", `/v1/sessions/${busy.id}/events`, userMessage(canary));
    const state = async () => (await call(account.key, "GET", `/v1/sessions/${busy.id}`)).body.status;
    await expect.poll(state).toBe("running");
    const stream = (headers: Record<string, string>) =>
      it.server.fetch(`/v1/sessions/${account.sessionId}/events/stream`, { headers });
    const streams = [await stream({ "x-api-key": account.key }), await stream({ cookie: account.cookie })];
    expect(streams.map(({ status }) => status)).toEqual([200, 200]);

    // All that is asked about afterwards is there before.
    expect(await rowsWith(database(), account.id)).toEqual(expect.arrayContaining(["accounts", ...tablesOfAccounts()]));
    expect(await traces(account, canary)).toEqual(
      expect.arrayContaining(["agent_versions", "erasures", "events", "messages", "processes"]),
    );
    expect(filesWith(canary)).not.toEqual([]);
    const before = await traces(neighbour, kept);

    const { status, body } = await remove(account.id);
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { id: account.id, name: "leaves", deleted: true, pending: [], gone: { sessions: 2, workspaces: 1 } },
    });
    expect(body.gone.sandboxes).toContain(sandbox.id);
    expect(await traces(account, canary)).toEqual([]);
    await expect.poll(() => filesWith(canary)).toEqual([]);
    expect(volumes().filter((name) => name.includes(account.workspaceId))).toEqual([]);
    expect(sandbox.isRunning).toBe(false);
    expect(sandbox.processes()).toEqual([]);
    expect(gateway.revoked).toEqual(expect.arrayContaining([sandbox.id, expect.stringMatching(/^sb-old-/)]));
    // They end, or this waits in vain.
    for (const each of streams) await Array.fromAsync(frames(each));
    expect((await call(account.key, "GET", "/v1/sessions")).status).toBe(401);
    expect((await it.server.fetch("/v1/sessions", { headers: { cookie: account.cookie } })).status).toBe(401);
    expect((await remove(account.id)).body.code).toBe("account_not_found");

    expect(await traces(neighbour, kept)).toEqual(before);
    expect(volumes().filter((name) => name.includes(neighbour.workspaceId))).toHaveLength(2);
    it.sandboxes.stage.script = answering;
    await talk(neighbour.key, neighbour.sessionId, "still here");
    const again = await call(admin, "POST", "/v1/accounts", { name: "leaves" });
    expect(again.status).toBe(201);
    expect(again.body.id).not.toBe(account.id);
  },
);

test("the administrator alone deletes accounts, and never the own one", async () => {
  const { id, apiKey } = await it.server.account("someone");
  expect(await call(apiKey, "DELETE", `/v1/accounts/${id}`)).toMatchObject({
    status: 403,
    body: { code: "admin_only" },
  });
  const { body } = await call(admin, "GET", "/v1/accounts");
  const own = (body.data as { id: string; name: string }[]).find(({ name }) => name === "default");
  const refused = await remove(own?.id ?? "");
  expect({ status: refused.status, code: refused.body.code }).toEqual({ status: 409, code: "account_is_default" });
  expect((await remove("acc_00000000000000000000000000")).body.code).toBe("account_not_found");
  expect((await call(apiKey, "GET", "/v1/sessions")).status).toBe(200);
});

test.skipIf(onPostgres())(
  "whichever step fails, the key is refused at once, and the next call ends it",
  async () => {
    const steps = [
      ...["sessions", "events", "agent_versions", "agents", "environments", "permission_rules", "idempotency", "syncs"],
      ...["erasures", "sandboxes", "strays", "workspaces", "logins", "api_keys", "accounts"],
    ].map((table) => `before delete on ${table}`);
    for (const step of [...steps, "before update on workspaces", "before update on sandboxes"]) {
      const canary = word();
      const account = await furnish(`fails ${step.split(" ").at(-1)}${step.includes("update") ? " too" : ""}`, canary);
      it.write("update workspaces set server_id = null where id = ?", account.workspaceId);
      if (step.endsWith(" events"))
        await call(account.key, "POST", `/v1/sessions/${account.sessionId}`, { title: `${canary} again` });
      it.write(`create trigger fault ${step} begin select raise(abort, 'disk I/O error'); end`);
      const first = await remove(account.id);
      const isDone = first.status === 200 && first.body.pending.length === 0;
      expect({ step, isDone }).toEqual({ step, isDone: false });
      expect({ step, status: (await call(account.key, "GET", "/v1/sessions")).status }).toEqual({ step, status: 401 });
      it.write("drop trigger fault");
      const second = await remove(account.id);
      expect({ step, status: second.status, pending: second.body.pending }).toEqual({ step, status: 200, pending: [] });
      expect({ step, left: await traces(account, canary) }).toEqual({ step, left: [] });
    }
  },
  60_000,
);

test.skipIf(onPostgres())("what does not answer is named, and done by the next server when this one dies", async () => {
  const canary = word();
  const account = await furnish("waits", canary);
  const marked = await furnish("marked", canary);
  const { deleteVolume } = it.sandboxes;
  it.sandboxes.deleteVolume = () => Promise.reject(new Error("the provider is away"));
  gateway.away = true;
  const { status, body } = await remove(account.id);
  expect(status).toBe(200);
  expect(body.pending).toEqual([expect.stringContaining("volumes"), expect.stringContaining("tokens")]);
  // What could be removed is removed; no list shows the account, and nobody acts for it.
  expect(it.rows("select id from sessions where account_id = ?", account.id)).toEqual([]);
  const listed = JSON.stringify((await call(admin, "GET", "/v1/accounts")).body);
  expect(listed).not.toContain(account.id);
  expect((await call(account.key, "GET", "/v1/sessions")).status).toBe(401);
  // As a server leaves one that dies just after it was marked.
  it.write("update accounts set deleted_at = 1, name = name || '~' || id where id = ?", marked.id);
  expect((await call(marked.key, "GET", "/v1/sessions")).status).toBe(401);
  it.sandboxes.deleteVolume = deleteVolume;
  gateway.away = false;
  await it.restart({ sweepEveryMs: 200 });
  for (const each of [account, marked]) await expect.poll(() => traces(each, canary), { timeout: 15_000 }).toEqual([]);
  expect(filesWith(canary)).toEqual([]);
});

test.skipIf(onPostgres())("a request that had shown its key before begins nothing any more", async () => {
  const account = await furnish("late", word());
  const bodies: Record<string, object> = {
    "/v1/sessions": { agent: "agent_default", environment_id: "env_default" },
    "/v1/workspaces": { name: "late" },
    "/v1/agents": { name: "late", model: "claude-x" },
    "/v1/environments": { name: "late" },
    "/v1/api_keys": { name: "late" },
  };
  const keys = await Promise.all(
    Object.keys(bodies).map(async () => (await call(account.key, "POST", "/v1/api_keys", { name: "x" })).body),
  );
  const gate = Promise.withResolvers<void>();
  const asked = Object.entries(bodies).map(async ([path, body], at) => {
    const late = new ReadableStream({
      async start(controller) {
        controller.enqueue(Buffer.from(" "));
        await gate.promise;
        controller.enqueue(Buffer.from(JSON.stringify(body)));
        controller.close();
      },
    });
    const init = { method: "POST", body: late, duplex: "half" as const, key: String(keys[at]?.api_key) };
    return [path, (await it.server.fetch(path, init)).status];
  });
  const seen = () =>
    it.rows("select id from api_keys where account_id = ? and name = 'x' and last_used_at is not null", account.id)
      .length;
  await expect.poll(seen).toBe(keys.length);
  // Its row is still there, as long as something does not answer.
  it.sandboxes.deleteVolume = () => Promise.reject(new Error("the provider is away"));
  expect((await remove(account.id)).body.pending).not.toEqual([]);
  gate.resolve();
  expect(Object.fromEntries(await Promise.all(asked))).toEqual(
    Object.fromEntries(Object.keys(bodies).map((path) => [path, 401])),
  );
});
