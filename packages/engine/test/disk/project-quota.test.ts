import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { inSecondKernel, noSecondKernel } from "./_second-kernel.ts";
import { mib } from "./_trees.ts";

const script = fileURLToPath(new URL("_project-quota.ts", import.meta.url));
const reason = noSecondKernel();
if (reason !== undefined) console.warn(`skipped: ${reason}`);

interface Use {
  bytes: number;
  inodes: number;
}

interface Found {
  error?: string;
  probe: { kind: string; project?: { why: string; todo: string } };
  new: { kind: string; project: boolean; limit: object; df: number; files: number; use: Use };
  resized: object;
  removed: { left: string[]; limit: object };
  old: { limit: Use; use: Use; inner: boolean };
  sandboxes: { kind: string; places: Record<string, Place>; neighbour: string };
  left: string[];
}

interface Place {
  /** KiB. */
  df: number;
  asRoot: string;
  asUser: string;
}

/** Of trees: made, limited, resized, removed, taken over. */
function checkTrees(found: Found): void {
  expect(found.error).toBeUndefined();
  expect(found.probe).toEqual({ kind: "project" });
  expect(found.new).toMatchObject({ kind: "project", project: true, df: 8 * mib, files: 300 });
  expect(found.new.limit).toMatchObject({ limitBytes: 8 * mib, limitInodes: 300 });
  expect(found.new.use.bytes).toBeGreaterThanOrEqual(2 * mib);
  expect(found.new.use.bytes).toBeLessThan(2.2 * mib);
  expect(found.new.use.inodes).toBe(2);
  expect(found.resized).toMatchObject({ limitBytes: 16 * mib, limitInodes: 600 });
  // Nothing is left of it, its project's limit neither: what was ever made costs nothing.
  expect(found.removed).toMatchObject({ left: [], limit: { limitBytes: 0, limitInodes: 0, bytes: 0, inodes: 0 } });
  // Larger than its limit from before: everything is counted, nothing is cut, a little room is given.
  expect(found.old.inner).toBe(true);
  expect(found.old.use.inodes).toBeGreaterThanOrEqual(404);
  expect(found.old.use.bytes).toBeGreaterThan(10 * mib);
  expect(found.old.limit.bytes).toBeGreaterThan(found.old.use.bytes * 1.2);
  expect(found.old.limit.bytes).toBeLessThan(found.old.use.bytes * 1.5);
  expect(found.left).toEqual([]);
}

describe.skipIf(reason !== undefined)("project quotas, in a second kernel", () => {
  it("ext4: hold trees and whole sandboxes, root and claudeuser alike, and the neighbour notices nothing", async () => {
    const found = (await inSecondKernel({ fileSystem: "ext4", quota: true, script, args: ["sandboxes"] })) as Found;
    checkTrees(found);
    const { kind, places, neighbour } = found.sandboxes;
    expect(kind).toBe("project");
    for (const dir of ["/", "/v/full"]) {
      const { df, asRoot, asUser } = places[dir] as Place;
      expect(df, dir).toBe(8 * 1024);
      expect(asUser).toMatch(/Disk quota exceeded/);
      expect(asRoot.match(/Disk quota exceeded/g)).toHaveLength(2);
      expect(Number(/^\d+$/m.exec(asRoot)?.[0])).toBeLessThanOrEqual(8 * mib);
      expect(Number(/made (\d+)/.exec(asRoot)?.[1])).toBeLessThan(300);
      expect(Number(/made (\d+)/.exec(asRoot)?.[1])).toBeGreaterThan(250);
    }
    expect(neighbour).toBe("good\n");
  }, 120_000);

  it("XFS: hold trees", async () => {
    checkTrees((await inSecondKernel({ fileSystem: "xfs", quota: true, script })) as Found);
  }, 120_000);

  it("a disk without them falls back to images and says why and what to do", async () => {
    const found = (await inSecondKernel({ fileSystem: "ext4", quota: false, script })) as Found;
    expect(found.probe.kind).not.toBe("project");
    expect(found.probe.project?.why).toMatch(/made without project ids|not mounted with/);
    expect(found.probe.project?.todo).toMatch(/tune2fs -O project,quota/);
    expect(found.left).toEqual([]);
  }, 120_000);
});
