import { linkSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { countTree } from "./plain.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-count-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const blocks = (...paths: string[]) => paths.reduce((sum, path) => sum + statSync(join(dir, path)).blocks * 512, 0);

test("every name is an inode, and bytes are what lies on the disk: holes are none", async () => {
  mkdirSync(join(dir, "a/b"), { recursive: true });
  writeFileSync(join(dir, "a/full"), Buffer.alloc(100_000, 1));
  writeFileSync(join(dir, "a/b/hole"), "");
  truncateSync(join(dir, "a/b/hole"), 2 ** 40);
  const use = await countTree(dir);
  expect(use).toMatchObject({ inodes: 5, complete: true, bytes: blocks(".", "a", "a/b", "a/full", "a/b/hole") });
  expect(use.bytes).toBeLessThan(10 ** 6);
});

test("a file counts once, however many names it has; a link is not followed, nor a loop of them", async () => {
  mkdirSync(join(dir, "below"));
  writeFileSync(join(dir, "one"), Buffer.alloc(50_000, 1));
  for (let n = 0; n < 5; n++) linkSync(join(dir, "one"), join(dir, "below", String(n)));
  symlinkSync("/", join(dir, "root"));
  symlinkSync("..", join(dir, "below", "up"));
  expect(await countTree(dir)).toMatchObject({ inodes: 5, complete: true });
});

test("past its bound it stops and says so, however wide or deep the tree", async () => {
  for (let n = 0; n < 300; n++) writeFileSync(join(dir, `f${n}`), "");
  const wide = await countTree(dir, { bytes: 2 ** 40, inodes: 100 });
  expect(wide.complete).toBe(false);
  expect(wide.inodes).toBeLessThan(110);
  expect((await countTree(dir, { bytes: 2 ** 40, inodes: 301 })).complete).toBe(true);
  writeFileSync(join(dir, "large"), Buffer.alloc(2_000_000, 1));
  expect((await countTree(dir, { bytes: 1_000, inodes: 1_000 })).complete).toBe(false);
});

test("what vanishes under its hands is not counted, and no failure", async () => {
  for (let n = 0; n < 40; n++) {
    mkdirSync(join(dir, `d${n}`));
    for (let m = 0; m < 20; m++) writeFileSync(join(dir, `d${n}`, `f${m}`), "");
  }
  const counting = countTree(dir);
  for (let n = 0; n < 40; n += 2) rmSync(join(dir, `d${n}`), { recursive: true });
  const { inodes, complete } = await counting;
  expect(complete).toBe(true);
  expect(inodes).toBeGreaterThanOrEqual(1 + 20 * 21);
  expect(inodes).toBeLessThanOrEqual(1 + 40 * 21);
  expect(await countTree(join(dir, "never there"))).toMatchObject({ inodes: 0, bytes: 0, complete: true });
});
