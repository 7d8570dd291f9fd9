import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Writable } from "node:stream";
import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { startGateway } from "../src/index.ts";
import {
  ADMIN_TOKEN,
  admin,
  ask,
  clientOf,
  fakeUpstream,
  REAL_KEY,
  sendMessage,
  start,
  TOKEN_SECRET,
  temporaryDirectory,
} from "./_kit.ts";

test("status tells the mode and the last four characters, never the key", async () => {
  const gateway = await start({ adminPort: 0 });
  expect((await admin(gateway, "GET /admin/status")).json).toEqual({
    mode: "scripted",
    credential: { present: false, source: null, last4: null },
  });
  const set = await admin(gateway, "PUT /admin/credential", { apiKey: ` ${REAL_KEY}\n` });
  expect(set.json).toEqual({ mode: "anthropic", credential: { present: true, source: "stored", last4: "0042" } });
  expect(set.text).not.toContain("real-key");
  expect((await admin(gateway, "DELETE /admin/credential")).json).toMatchObject({ mode: "scripted" });
});

test("with a port of its own the admin API is not on the models' one, nor the other way round", async () => {
  const gateway = await start({ adminPort: 0 });
  expect(gateway.adminPort).not.toBe(gateway.port);
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
  expect((await fetch(`${gateway.url}/admin/status`, { headers })).status).toBe(404);
  expect((await fetch(`${gateway.adminUrl}/v1/models`, { headers })).status).toBe(404);
  expect((await fetch(`${gateway.adminUrl}/admin/status`, { headers })).status).toBe(200);
});

test.each(["", "wrong", `${ADMIN_TOKEN}x`])("the admin token %j is refused on every route", async (bearer) => {
  const gateway = await start();
  for (const route of [
    "GET /admin/status",
    "GET /admin/live?session=x",
    "PUT /admin/credential",
    "GET /admin/usage",
    "GET /admin/nothing",
  ]) {
    expect((await admin(gateway, route, route.startsWith("PUT") ? {} : undefined, bearer)).status).toBe(401);
  }
});

test("the stored key is in a 0600 file, survives a restart and comes before the environment's", async () => {
  const dataDir = await temporaryDirectory();
  {
    await using gateway = await start({ dataDir, credential: `${REAL_KEY}-env1` });
    expect((await admin(gateway, "GET /admin/status")).json).toMatchObject({
      credential: { source: "environment", last4: "env1" },
    });
    // The environment's key is not written down.
    expect(await readdir(dataDir)).not.toContain("credential.json");
    await admin(gateway, "PUT /admin/credential", { apiKey: REAL_KEY });
  }
  expect((await stat(join(dataDir, "credential.json"))).mode & 0o777).toBe(0o600);
  expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
  expect((await readdir(dataDir)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  {
    await using gateway = await start({ dataDir, credential: `${REAL_KEY}-env1` });
    expect((await admin(gateway, "GET /admin/status")).json).toMatchObject({
      credential: { source: "stored", last4: "0042" },
    });
    await admin(gateway, "DELETE /admin/credential");
  }
  // A key removed by hand does not come back with the same environment; another one counts.
  expect(await readFile(join(dataDir, "credential.json"), "utf8")).not.toContain("real-key");
  {
    await using gateway = await start({ dataDir, credential: `${REAL_KEY}-env1` });
    expect(gateway.mode).toBe("scripted");
  }
  await using gateway = await start({ dataDir, credential: `${REAL_KEY}-env2` });
  expect(gateway.mode).toBe("anthropic");
});

test("a damaged credential file is said, without its content", async () => {
  const dataDir = await temporaryDirectory();
  await writeFile(join(dataDir, "credential.json"), `{"apiKey":"${REAL_KEY}`);
  const failure = await start({ dataDir }).catch((error: unknown) => error);
  expect(String(failure)).toMatch(/credential\.json does not hold a credential/);
  expect(String(failure)).not.toContain("real-key");
});

test.each<[string, unknown]>([
  ["PUT /admin/credential", { apiKey: "has spaces in it" }],
  ["PUT /admin/credential", { apiKey: "short" }],
  ["PUT /admin/credential", { key: REAL_KEY }],
  ["POST /admin/revoke", {}],
  ["POST /admin/revoke", { jti: 7 }],
  ["POST /admin/revoke", { account: "acc_1" }],
  ["GET /admin/live", undefined],
  ["GET /admin/live?session=x&account=y", undefined],
])("%s with %j is a 400 that changes nothing", async (route, body) => {
  const gateway = await start();
  const answer = await admin(gateway, route, body);
  expect(answer.status).toBe(400);
  expect(answer.text).not.toContain("real-key");
  expect(gateway.mode).toBe("scripted");
});

test("malformed JSON is answered without quoting it", async () => {
  const gateway = await start();
  const response = await fetch(`${gateway.adminUrl}/admin/credential`, {
    method: "PUT",
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    body: `{"apiKey": ${REAL_KEY}`,
  });
  expect(response.status).toBe(400);
  expect(await response.text()).not.toContain("real-key");
});

test("usage survives a restart and is told per model", async () => {
  const dataDir = await temporaryDirectory();
  {
    await using gateway = await start({ dataDir });
    const client = await clientOf(gateway);
    await client.messages.create(ask());
    await client.messages.stream({ ...ask(), model: "claude-other" }).finalMessage();
  }
  const gateway = await start({ dataDir });
  const { json } = await admin(gateway, "GET /admin/usage?session=sesn_1");
  expect(json).toMatchObject({
    totals: { requests: 2 },
    models: [
      { model: "claude-other", mode: "scripted", requests: 1 },
      { model: "claude-test", mode: "scripted", requests: 1 },
    ],
  });
});

test("scripts and the record exist only where they were allowed", async () => {
  const closed = await start();
  expect((await admin(closed, "POST /admin/scripts", [])).status).toBe(404);
  expect((await admin(closed, "GET /admin/record")).status).toBe(404);
  const gateway = await start({ scriptedModel: { allowScripts: true } });
  expect((await admin(gateway, "POST /admin/scripts", [{ turns: [{ tekst: "" }] }])).status).toBe(400);
  await admin(gateway, "POST /admin/scripts", [{ when: { userTextIncludes: "x" }, turns: [{ text: "scripted!" }] }]);
  const answer = await (await clientOf(gateway)).messages.create(ask("xyz"));
  expect(answer.content).toMatchObject([{ text: "scripted!" }]);
  expect((await admin(gateway, "GET /admin/record")).json).toMatchObject({
    record: [{ lastUserText: "xyz", source: "script" }],
  });
  await admin(gateway, "DELETE /admin/scripts");
  expect(JSON.stringify((await (await clientOf(gateway)).messages.create(ask("xyz"))).content)).toMatch(/demo/);
});

test("the log holds no prompt, no token and no key", async () => {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  const upstream = await fakeUpstream((req, res) => {
    if (req.headers["x-api-key"] === REAL_KEY) sendMessage(res);
    else res.destroy();
  });
  const gateway = await startGateway(
    { dataDir: await temporaryDirectory(), tokenSecret: TOKEN_SECRET, adminToken: ADMIN_TOKEN, upstream: upstream.url },
    { log: pino({ level: "debug" }, sink) },
  );
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  const client = await clientOf(gateway);
  const prompt = "a very private prompt";
  await client.messages.create(ask(prompt));
  await admin(gateway, "PUT /admin/credential", { apiKey: REAL_KEY });
  await client.messages.create(ask(prompt));
  await admin(gateway, "PUT /admin/credential", { apiKey: `${REAL_KEY}x` });
  await client.messages.create(ask(prompt)).catch(() => undefined);
  const log = lines.join("");
  expect(log).toMatch(/"status":200,"mode":"anthropic","account":"acc_1"/);
  expect(log).toMatch(/"status":502/);
  expect(log).not.toMatch(/private prompt|real-key|hfs_|admin-token/);
});
