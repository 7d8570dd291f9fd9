import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mib, noImages } from "../disk/_trees.ts";
import { sh, type TestEngine, testEngine } from "./_engine.ts";

describe.skipIf(noImages() !== undefined)("limits of disk", () => {
  let t: TestEngine;

  beforeAll(async () => {
    const volumeSizes = [{ nameEndsWith: "-small", bytes: 32 * mib }];
    t = await testEngine({
      disk: { scratchBytes: 128 * mib, volumeBytes: 256 * mib, volumeSizes, accountBytes: 100 * mib },
    });
  });
  afterAll(() => t[Symbol.asyncDispose]());

  it("ten gigabytes by fallocate are refused everywhere, and the neighbour notices nothing", async () => {
    const small = await t.modal.volumes.fromName("a-small", { createIfMissing: true });
    const large = await t.modal.volumes.fromName("a-large", { createIfMissing: true });
    const a = await t.create({ volumes: { "/mnt/small": small, "/mnt/large": large } });
    const b = await t.create();
    const sizes = await sh(a, "df --output=size -m / /mnt/small/ /mnt/large/ | tail -n +2");
    const [root = 0, first = 0, second = 0] = sizes.stdout.trim().split(/\s+/).map(Number);
    for (const [size, limit] of [
      [root, 128],
      [first, 32],
      [second, 256],
    ] as const) {
      expect(size).toBeGreaterThan(limit * 0.75);
      expect(size).toBeLessThanOrEqual(limit);
    }
    for (const dir of ["/root", "/mnt/small", "/mnt/large"]) {
      const done = await sh(a, `fallocate -l 10G ${dir}/big; echo $?; rm -f ${dir}/big`);
      expect(done.stderr, dir).toMatch(/No space left on device|Disk quota exceeded|File too large/);
      expect(done.stdout.trim()).toBe("1");
    }
    expect((await sh(b, "dd if=/dev/zero of=/root/mine bs=1M count=50 conv=fsync status=none; echo $?")).stdout).toBe(
      "0\n",
    );
    await Promise.all([a.terminate({ wait: true }), b.terminate({ wait: true })]);
    for (const name of ["a-small", "a-large"]) await t.modal.volumes.delete(name);
    expect(readdirSync(join(t.dataDir, "volumes"))).toEqual([]);
  });

  it("an account over its total starts nothing more, in words, until it has deleted something; another does", async () => {
    const tag = (account: string) => ({ tags: { "holdfast.account": account } });
    const volume = await t.modal.volumes.fromName("total-large", { createIfMissing: true });
    const first = await t.create({ ...tag("full"), volumes: { "/mnt/a": volume } });
    expect((await sh(first, "head -c 120M /dev/urandom > /mnt/a/much && sync -f /mnt/a/")).code).toBe(0);
    await first.terminate({ wait: true });
    await expect(t.create({ ...tag("full") })).rejects.toThrow(/take \d+ MiB of the 100 MiB .* delete a workspace/);
    const other = await t.create({ ...tag("other") });
    await other.terminate({ wait: true });
    await t.modal.volumes.delete("total-large");
    const again = await t.create({ ...tag("full") });
    await again.terminate({ wait: true });
  });

  it("a volume from before there were limits has everything in it", async () => {
    const volume = await t.modal.volumes.fromName("old", { createIfMissing: true });
    const directory = join(t.dataDir, "volumes", volume.volumeId);
    writeFileSync(join(directory, "kept"), "from before\n");
    const sandbox = await t.create({ volumes: { "/mnt/old": volume } });
    expect((await sh(sandbox, "cat /mnt/old/kept; ls -A /mnt/old/")).stdout).toBe("from before\nkept\n");
    expect(existsSync(directory)).toBe(false);
    await sandbox.terminate({ wait: true });
    await t.modal.volumes.delete("old");
    expect(readdirSync(join(t.dataDir, "volumes"))).toEqual([]);
  });
});
