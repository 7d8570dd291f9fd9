import { ChannelCredentials, Client, Metadata } from "@grpc/grpc-js";
import type { Sandbox } from "modal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestEngine, testEngine } from "./_engine.ts";

/** One raw call, with whatever bytes and headers. */
function call(
  url: string,
  path: string,
  body: Uint8Array,
  headers: Record<string, string>,
): Promise<{ code: number; details: string }> {
  const client = new Client(new URL(url).host, ChannelCredentials.createInsecure());
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const same = (bytes: Uint8Array) => Buffer.from(bytes);
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, same, same, body, metadata, (error) => {
      client.close();
      resolve({ code: error?.code ?? 0, details: error?.details ?? "" });
    });
  });
}

/** Field 1, a string. */
function stringField(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length: number[] = [];
  for (let rest = bytes.length; ; rest >>= 7) {
    if (rest < 128) {
      length.push(rest);
      break;
    }
    length.push((rest & 127) | 128);
  }
  return Buffer.concat([Buffer.from([10, ...length]), bytes]);
}

const invalidArgument = 3;
const notFound = 5;
const unimplemented = 12;
const unauthenticated = 16;

describe("what the engine refuses", () => {
  let t: TestEngine;
  let sandbox: Sandbox;
  const pair = { "x-modal-token-id": "ak-conformance", "x-modal-token-secret": "as-conformance" };
  const cp = (method: string, body: Uint8Array = Buffer.alloc(0), headers: Record<string, string> = pair) =>
    call(t.engine.url, `/modal.client.ModalClient/${method}`, body, headers);
  const tcr = (method: string, body: Uint8Array, headers: Record<string, string>) =>
    call(t.engine.url, `/modal.task_command_router.TaskCommandRouter/${method}`, body, headers);

  beforeAll(async () => {
    t = await testEngine();
    sandbox = await t.create({ timeoutMs: 600_000 });
  });
  afterAll(() => t[Symbol.asyncDispose]());

  it("a wrong or missing token, with the way out", async () => {
    const stranger = t.client({ tokenId: "ak-conformance", tokenSecret: "wrong" });
    await expect(stranger.apps.fromName("conformance")).rejects.toThrow(/UNAUTHENTICATED[\s\S]*MODAL_TOKEN_ID/);
    expect((await cp("SandboxListV2", Buffer.alloc(0), {})).code).toBe(unauthenticated);
  });

  it("a router call without the token of that very task", async () => {
    const other = await t.create();
    const otherTask = await taskOf(other);
    const token = await routerToken(t, other);
    const request = stringField(await taskOf(sandbox));
    expect((await tcr("TaskReloadVolumes", request, {})).code).toBe(unauthenticated);
    expect((await tcr("TaskReloadVolumes", request, { authorization: "Bearer a.b.c" })).code).toBe(unauthenticated);
    expect((await tcr("TaskReloadVolumes", request, { authorization: `Bearer ${token}` })).code).toBe(unauthenticated);
    const own = stringField(otherTask);
    expect((await tcr("TaskReloadVolumes", own, { authorization: `Bearer ${token}` })).code).toBe(0);
    await other.terminate();
  });

  it.each(["../../etc/passwd", "x".repeat(300), "sb-\0", "", "sb-01ARZ3NDEKTSV4RRFFQ69G5FAV", "' OR 1=1 --"])(
    "the unknown id %j",
    async (id) => {
      expect((await cp("SandboxWaitV2", stringField(id))).code).toBe(notFound);
      expect((await cp("SandboxTerminateV2", stringField(id))).code).toBe(notFound);
      expect((await cp("VolumeDelete", stringField(id))).code).toBe(notFound);
      expect((await cp("ImageDelete", stringField(id))).code).toBe(notFound);
      expect((await cp("SecretDelete", stringField(id))).code).toBe(notFound);
    },
  );

  it("bytes that are no message", async () => {
    const answer = await cp("SandboxCreateV2", Buffer.from([0xff, 0xff, 0xff]));
    expect(answer.code).not.toBe(0);
    expect((await cp("AppList")).code).toBe(0);
  });

  it("definitions that make no sense", async () => {
    await expect(t.create({ outboundCidrAllowlist: ["not-an-ip/8"] })).rejects.toThrow("Invalid CIDR: not-an-ip/8");
    await expect(t.create({ outboundDomainAllowlist: ["not a valid domain!"] })).rejects.toThrow(/Invalid domain/);
    await expect(t.create({ cloud: "invalid-cloud" })).rejects.toThrow(/INVALID_ARGUMENT/);
    await expect(t.create({ regions: ["invalid-region"] })).rejects.toThrow(/INVALID_ARGUMENT/);
    await expect(t.create({ timeoutMs: 90_000_000 })).rejects.toThrow(/INVALID_ARGUMENT/);
    const volume = await t.modal.volumes.fromName("twice", { createIfMissing: true });
    await expect(t.create({ volumes: { "/a": volume, "/b": volume } })).rejects.toThrow(/two paths/);
    await expect(t.create({ volumes: { "/proc/x": volume } })).rejects.toThrow(/Invalid mount path/);
    await expect(t.modal.volumes.fromName("../x", { createIfMissing: true })).rejects.toThrow(/Invalid Volume name/);
  });

  it("a mount point where the image has files", async () => {
    const volume = await t.modal.volumes.fromName("over", { createIfMissing: true });
    await expect(t.create({ volumes: { "/etc": volume } })).rejects.toThrow(/not an empty directory/);
  });

  it("what it does not do, by name", async () => {
    for (const method of ["ImagePublish", "AppFetchLogs", "SandboxRestoreV2"]) {
      const answer = await cp(method, stringField("x"));
      expect(answer.code).toBe(unimplemented);
      expect(answer.details).toMatch(/is not supported by this engine/);
    }
    await expect(sandbox.snapshotFilesystem()).rejects.toThrow(/filesystem snapshot is not supported/);
    await expect(sandbox.filesystem.readText("/etc/hostname")).rejects.toThrow(/filesystem API[\s\S]*not supported/);
    await expect(t.create({ gpu: "T4" })).rejects.toThrow(/UNIMPLEMENTED/);
    const exposed = await t.create({ encryptedPorts: [8080] });
    await expect(exposed.tunnels()).rejects.toThrow(/tunnel[\s\S]*not supported/i);
    await exposed.terminate();
  });

  it("an environment that is not there, by its own name and not as a missing App", async () => {
    const elsewhere = t.client();
    const asked = elsewhere.apps.fromName("conformance", { environment: "staging", createIfMissing: true });
    await expect(asked).rejects.toThrow(/Environment 'staging' not found[\s\S]*MODAL_ENVIRONMENT/);
    const volume = elsewhere.volumes.fromName("x", { environment: "staging", createIfMissing: true });
    await expect(volume).rejects.toThrow(/Environment 'staging' not found/);
    const secret = elsewhere.secrets.fromName("x", { environment: "staging" });
    await expect(secret).rejects.toThrow(/Environment 'staging' not found/);
    await elsewhere.apps.fromName("conformance", { environment: "main", createIfMissing: true });
  });

  it("options that it would have to ignore, by name", async () => {
    await expect(t.create({ pty: true })).rejects.toThrow(/pty of the main process[\s\S]*not supported/);
    await expect(t.create({ includeOidcIdentityToken: true })).rejects.toThrow(/identity token[\s\S]*not supported/);
    await expect(t.create({ experimentalOptions: { enable_docker: true } })).rejects.toThrow(/enable_docker/);
    await expect(t.create({ customDomain: "a.example" })).rejects.toThrow(/domain of one's own/);
  });

  it("exec ids that are no ids", async () => {
    const task = stringField(await taskOf(sandbox));
    const token = `Bearer ${await routerToken(t, sandbox)}`;
    for (const execId of ["../main", "main", "x".repeat(300), "a\0b"]) {
      const body = Buffer.concat([task, Buffer.from([0x12]), stringField(execId).subarray(1)]);
      expect((await tcr("TaskExecWait", body, { authorization: token })).code).toBe(invalidArgument);
    }
    const unknown = Buffer.concat([task, Buffer.from([0x12]), stringField("0-0").subarray(1)]);
    expect((await tcr("TaskExecWait", unknown, { authorization: token })).code).toBe(notFound);
  });
});

async function taskOf(sandbox: Sandbox): Promise<string> {
  const process = await sandbox.exec(["sh", "-c", "echo $MODAL_TASK_ID"]);
  return (await process.stdout.readText()).trim();
}

async function routerToken(t: TestEngine, sandbox: Sandbox): Promise<string> {
  const access = await t.modal.cpClient.sandboxGetCommandRouterAccess({ sandboxId: sandbox.sandboxId });
  return access.jwt;
}
