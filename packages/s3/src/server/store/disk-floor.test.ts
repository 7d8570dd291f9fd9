import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { DiskFloor, defaultKeepFree } from "./disk-floor.ts";

const mib = 1024 ** 2;
const gib = 1024 ** 3;
const directory = tmpdir();

/** A floor that leaves about so much room for uploads. */
async function withRoom(bytes: number): Promise<DiskFloor> {
  const { bavail, bsize } = await statfs(directory);
  return new DiskFloor({ directory, keepFreeBytes: bavail * bsize - bytes });
}

test("of a large disk a fortieth is kept, of a small one an eighth", () => {
  expect([4, 20, 100].map((total) => defaultKeepFree(total * gib) / gib)).toEqual([0.5, 1, 2.5]);
  expect(defaultKeepFree(8 * mib)).toBe(mib);
});

test("what fits is promised, what does not is refused in words, and given back room is room again", async () => {
  const floor = await withRoom(gib);
  const first = await floor.hold(600 * mib);
  await expect(floor.hold(600 * mib)).rejects.toMatchObject({
    code: "InsufficientStorage",
    status: 507,
    message: expect.stringMatching(
      /nearly full: \d+ MiB free, \d+ MiB are kept, and this takes 600 MiB.*send it again/,
    ),
  });
  first[Symbol.dispose]();
  expect(floor.promisedBytes).toBe(0);
  (await floor.hold(600 * mib))[Symbol.dispose]();
});

test("with nothing to keep nothing is refused here: the disk itself says when it is full", async () => {
  const floor = new DiskFloor({ directory, keepFreeBytes: 0 });
  using held = await floor.hold(2 ** 50);
  expect(floor.promisedBytes).toBe(2 ** 50);
  held.wrote(2 ** 49);
  expect(floor.promisedBytes).toBe(2 ** 49);
});

test("however uploads begin, send, send more than they said, and end: promises are what is missing, and end at none", async () => {
  let state = 11;
  const next = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const floor = new DiskFloor({ directory, keepFreeBytes: 0 });
  const open: { left: number; held: Awaited<ReturnType<DiskFloor["hold"]>> }[] = [];
  for (let step = 0; step < 2_000; step++) {
    const each = open[next(open.length + 1)];
    if (each === undefined) {
      const bytes = next(10_000);
      open.push({ left: bytes, held: await floor.hold(bytes) });
    } else if (next(4) === 0) {
      each.held[Symbol.dispose]();
      // Twice does nothing more.
      each.held[Symbol.dispose]();
      open.splice(open.indexOf(each), 1);
    } else {
      const count = next(5_000);
      each.held.wrote(count);
      each.left = Math.max(0, each.left - count);
    }
    expect(floor.promisedBytes).toBe(open.reduce((sum, { left }) => sum + left, 0));
  }
  for (const { held } of open) held[Symbol.dispose]();
  expect(floor.promisedBytes).toBe(0);
});
