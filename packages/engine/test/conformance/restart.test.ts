import type { Sandbox } from "modal";
import { describe, expect, it } from "vitest";
import { createLogger, DataDirInUseError, startEngine } from "../../src/index.ts";
import { clientFor, credentials, imageCacheDir, sh, temporaryDataDir } from "./_engine.ts";
import { spawnEngine, stopEngine as stop } from "./_process.ts";

const log = createLogger("silent");

async function findByTag(url: string, tags: Record<string, string>): Promise<Sandbox[]> {
  const found: Sandbox[] = [];
  for await (const sandbox of clientFor(url).sandboxes.list({ tags })) found.push(sandbox);
  return found;
}

describe("an engine that starts again", () => {
  it("finds its sandboxes, address, volumes and images again after an orderly stop", async () => {
    using dir = temporaryDataDir();
    const options = { dataDir: dir.path, imageCacheDir, ...credentials };
    const first = await startEngine(options, { log });
    const modal = clientFor(first.url);
    const app = await modal.apps.fromName("app", { createIfMissing: true });
    const image = await modal.images.fromRegistry("debian:12-slim").dockerfileCommands(["ENV X=1"]).build(app);
    const volume = await modal.volumes.fromName("vol", { createIfMissing: true });
    const sandbox = await modal.sandboxes.create(app, image, {
      command: ["sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"],
      tags: { find: "me" },
      volumes: { "/v": volume },
      env: { SECRET: "kept" },
    });
    const reader = sandbox.stdout.getReader();
    expect((await reader.read()).value).toMatch(/^line 1\n/);
    await reader.cancel();
    const ended = await modal.sandboxes.create(app, image, { command: ["sh", "-c", "echo bye; exit 5"] });
    expect(await ended.wait()).toBe(5);
    await first[Symbol.asyncDispose]();

    const second = await startEngine(options, { log });
    try {
      expect(second.port).toBe(first.port);
      // The old handle goes on working, with its old token.
      expect((await sh(sandbox, "echo $SECRET $X")).stdout).toBe("kept 1\n");
      const [again] = await findByTag(second.url, { find: "me" });
      expect(again?.sandboxId).toBe(sandbox.sandboxId);
      const text = (await again?.stdout.getReader().read())?.value ?? "";
      expect(text.startsWith("line 1\nline 2\n")).toBe(true);
      expect(await ended.poll()).toBe(5);
      expect(await ended.stdout.readText()).toBe("bye\n");
      expect((await modal.volumes.fromName("vol")).volumeId).toBe(volume.volumeId);
      expect((await modal.images.fromId(image.imageId)).imageId).toBe(image.imageId);
      expect(await sandbox.terminate({ wait: true })).toBe(137);
    } finally {
      await second.shutdown();
    }
  });

  it("loses nothing when it is killed: sandbox, running exec and its output go on", async () => {
    using dir = temporaryDataDir();
    const first = await spawnEngine(dir.path);
    const modal = clientFor(first.url);
    const app = await modal.apps.fromName("app", { createIfMissing: true });
    const image = await modal.images.fromRegistry("debian:12-slim").build(app);
    const sandbox = await modal.sandboxes.create(app, image, { tags: { find: "me" }, name: "named" });
    const work = await sandbox.exec(["sh", "-c", "echo before; read line; echo after $line; exit 9"]);
    const reader = work.stdout.getReader();
    expect((await reader.read()).value).toBe("before\n");
    expect(await stop(first.child, "SIGKILL")).toBeNull();

    const second = await spawnEngine(dir.path);
    try {
      expect(second.url).toBe(first.url);
      const [again] = await findByTag(second.url, { find: "me" });
      expect(again?.sandboxId).toBe(sandbox.sandboxId);
      expect(again && (await sh(again, "echo alive")).stdout).toBe("alive\n");
      await work.stdin.writeText("restart\n");
      expect((await reader.read()).value).toBe("after restart\n");
      expect(await work.wait()).toBe(9);
      await expect(modal.sandboxes.create(app, image, { name: "named" })).rejects.toThrow(/already exists/);
    } finally {
      expect(await stop(second.child, "SIGINT")).toBe(0);
    }
  });

  it("ends what reached its deadline while no engine ran", async () => {
    using dir = temporaryDataDir();
    const options = { dataDir: dir.path, imageCacheDir, ...credentials };
    const first = await startEngine(options, { log });
    const modal = clientFor(first.url);
    const app = await modal.apps.fromName("app", { createIfMissing: true });
    const image = await modal.images.fromRegistry("debian:12-slim").build(app);
    const sandbox = await modal.sandboxes.create(app, image, { timeoutMs: 1000 });
    await first[Symbol.asyncDispose]();
    const second = await startEngine(options, { log });
    try {
      expect(await sandbox.wait()).toBe(124);
    } finally {
      await second.shutdown();
    }
  });

  it("refuses a data directory that another engine holds", async () => {
    using dir = temporaryDataDir();
    const options = { dataDir: dir.path, imageCacheDir, ...credentials };
    const first = await startEngine(options, { log });
    try {
      await expect(startEngine(options, { log })).rejects.toThrow(DataDirInUseError);
      await expect(spawnEngine(dir.path)).rejects.toThrow(/another engine uses/);
    } finally {
      await first.shutdown();
    }
  });
});
