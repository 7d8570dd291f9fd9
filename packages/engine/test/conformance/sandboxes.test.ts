import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sh, type TestEngine, testEngine } from "./_engine.ts";

describe("sandboxes", () => {
  let t: TestEngine;
  beforeAll(async () => {
    t = await testEngine();
  });
  afterAll(() => t[Symbol.asyncDispose]());

  it("sleeps without a command until it is terminated, then says 137", async () => {
    const sandbox = await t.create();
    expect(await sandbox.poll()).toBeNull();
    expect(sandbox.sandboxId).toMatch(/^sb-[0-9A-Z]{26}$/);
    expect(await sandbox.terminate({ wait: true })).toBe(137);
    expect(await sandbox.poll()).toBe(137);
    expect(await sandbox.wait()).toBe(137);
    await sandbox.terminate();
  });

  it("answers with the exit code of its command, whose output stays readable", async () => {
    const sandbox = await t.create({ command: ["sh", "-c", "echo out; echo err >&2; exit 42"] });
    expect(await sandbox.wait()).toBe(42);
    expect(await sandbox.stdout.readText()).toBe("out\n");
    expect(await sandbox.stderr.readText()).toBe("err\n");
    const ok = await t.create({ command: ["true"] });
    expect(await ok.wait()).toBe(0);
  });

  it("collects the orphans of others, also beside a command that waits for nobody", async () => {
    for (const command of [["sleep", "1000"], undefined]) {
      const sandbox = await t.create(command === undefined ? {} : { command });
      const orphans = await sandbox.exec([
        "sh",
        "-c",
        "for i in $(seq 60); do (true & exec true) & done; wait; echo made",
      ]);
      expect(await orphans.stdout.readText()).toBe("made\n");
      await expect
        .poll(async () => {
          const count = await sandbox.exec(["sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z '; true"]);
          return (await count.stdout.readText()).trim();
        })
        .toBe("0");
      await sandbox.terminate();
    }
  });

  // The runtime gives the main process no stdin yet.
  it.todo("gives its command's stdin what the client writes", async () => {
    const sandbox = await t.create({ command: ["cat"] });
    await sandbox.stdin.writeText("one\n");
    await sandbox.stdin.writeText("two\n");
    await sandbox.stdin.close();
    expect(await sandbox.wait()).toBe(0);
    expect(await sandbox.stdout.readText()).toBe("one\ntwo\n");
  });

  it("keeps output readable after it was terminated", async () => {
    const sandbox = await t.create({ command: ["sh", "-c", "echo before; sleep 1000"] });
    const reader = sandbox.stdout.getReader();
    expect((await reader.read()).value).toBe("before\n");
    await sandbox.terminate({ wait: true });
    const again = await t.modal.sandboxes.fromId(sandbox.sandboxId);
    expect(await again.stdout.readText()).toBe("before\n");
  });

  it("ends at its deadline with 124", async () => {
    const sandbox = await t.create({ timeoutMs: 1000 });
    expect(await sandbox.wait()).toBe(124);
  });

  it("ends when it was idle for too long, but not while an exec runs", async () => {
    const sandbox = await t.create({ idleTimeoutMs: 1000 });
    const process = await sandbox.exec(["sh", "-c", "sleep 1.6; echo still"]);
    expect(await process.stdout.readText()).toBe("still\n");
    expect(await process.wait()).toBe(0);
    expect(await sandbox.wait()).not.toBe(0);
  });

  it("takes environment, secrets and working directory, the last source winning", async () => {
    const sandbox = await t.create({
      env: { A: "env", B: "env" },
      secrets: [await t.modal.secrets.fromObject({ A: "secret", C: "secret" })],
      workdir: "/usr",
    });
    expect((await sh(sandbox, "echo $A $B $C $PWD")).stdout).toBe("env env secret /usr\n");
    await sandbox.terminate();
  });

  it("is found by id, by tags (all of them) and by App, newest first, until it ends", async () => {
    const app = await t.modal.apps.fromName("listing", { createIfMissing: true });
    const first = await t.modal.sandboxes.create(app, t.image, { tags: { kind: "a", n: "1" } });
    const second = await t.modal.sandboxes.create(app, t.image, { tags: { kind: "a", n: "2" } });
    const list = async (params: Parameters<typeof t.modal.sandboxes.list>[0]) => {
      const ids: string[] = [];
      for await (const sandbox of t.modal.sandboxes.list(params)) ids.push(sandbox.sandboxId);
      return ids;
    };
    expect(await list({ appId: app.appId })).toEqual([second.sandboxId, first.sandboxId]);
    expect(await list({ tags: { kind: "a" } })).toEqual([second.sandboxId, first.sandboxId]);
    expect(await list({ tags: { kind: "a", n: "1" } })).toEqual([first.sandboxId]);
    expect(await list({ tags: { kind: "b" } })).toEqual([]);
    await first.setTags({ kind: "b" });
    expect(await first.getTags()).toEqual({ kind: "b" });
    expect(await list({ tags: { kind: "b" } })).toEqual([first.sandboxId]);
    const found = await t.modal.sandboxes.fromId(second.sandboxId);
    expect((await sh(found, "echo $MODAL_SANDBOX_ID")).stdout).toBe(`${second.sandboxId}\n`);
    await Promise.all([first.terminate({ wait: true }), second.terminate({ wait: true })]);
    expect(await list({ appId: app.appId })).toEqual([]);
  });

  it("keeps a name unique while it runs and lets go of it at the end", async () => {
    const first = await t.create({ name: "the-one" });
    await expect(t.create({ name: "the-one" })).rejects.toThrow(/already exists/);
    expect((await t.modal.sandboxes.fromName("conformance", "the-one")).sandboxId).toBe(first.sandboxId);
    await first.terminate({ wait: true });
    await expect(t.modal.sandboxes.fromName("conformance", "the-one")).rejects.toThrow(/not found/);
    const second = await t.create({ name: "the-one" });
    expect(second.sandboxId).not.toBe(first.sandboxId);
    await second.terminate();
  });

  it("shows a volume as a root-owned link target that outlives the sandbox", async () => {
    const volume = await t.modal.volumes.fromName("files", { createIfMissing: true });
    const first = await t.create({ volumes: { "/mnt/workspace": volume } });
    const link = await sh(first, "readlink /mnt/workspace; stat -c '%u %g %a' $(readlink -f /mnt/workspace)");
    expect(link.stdout).toBe(`/__modal/volumes/${volume.volumeId}\n0 0 755\n`);
    expect((await sh(first, "echo kept > /mnt/workspace/file && chown 1000:1000 /mnt/workspace/file")).code).toBe(0);
    await first.terminate({ wait: true });
    const second = await t.create({ volumes: { "/mnt/elsewhere": volume.withMountOptions({ readOnly: true }) } });
    expect((await sh(second, "cat /mnt/elsewhere/file; stat -c %u /mnt/elsewhere/file")).stdout).toBe("kept\n1000\n");
    expect((await sh(second, "touch /mnt/elsewhere/no")).stderr).toMatch(/Read-only file system/);
    await expect(t.modal.volumes.delete("files")).rejects.toThrow(/is mounted in/);
    await second.terminate({ wait: true });
    await t.modal.volumes.delete("files");
  });

  it("mounts a subdirectory of a volume, never through a link", async () => {
    const volume = await t.modal.volumes.fromName("subs", { createIfMissing: true });
    const sub = await t.create({ volumes: { "/v": volume.withMountOptions({ subPath: "a/b" }) } });
    expect((await sh(sub, "echo inner > /v/file")).code).toBe(0);
    await sub.terminate({ wait: true });
    const whole = await t.create({ volumes: { "/v": volume } });
    expect((await sh(whole, "cat /v/a/b/file; ln -s /etc /v/evil; ln -s ../../.. /v/a/up")).stdout).toBe("inner\n");
    // While it runs it could exchange a component.
    await expect(t.create({ volumes: { "/v": volume.withMountOptions({ subPath: "a/b" }) } })).rejects.toThrow(
      /is mounted in/,
    );
    await whole.terminate({ wait: true });
    for (const subPath of ["evil", "evil/x", "a/up/x"]) {
      await expect(t.create({ volumes: { "/v": volume.withMountOptions({ subPath }) } })).rejects.toThrow(
        /is not a directory/,
      );
    }
  });

  it("is ready when its probe succeeds", async () => {
    const { Probe } = await import("modal");
    const sandbox = await t.create({
      command: ["sh", "-c", "sleep 0.4; touch /ready; sleep 1000"],
      readinessProbe: Probe.withExec(["test", "-e", "/ready"], { intervalMs: 50 }),
    });
    await sandbox.waitUntilReady(10_000);
    expect((await sh(sandbox, "test -e /ready")).code).toBe(0);
    await sandbox.terminate();
  });
});
