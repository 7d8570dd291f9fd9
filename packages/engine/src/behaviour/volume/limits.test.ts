import { expect, test } from "vitest";
import { parseOptions } from "../../config/options.ts";
import { diskLimit, volumeLimit } from "./limits.ts";

const options = (disk: object) => parseOptions({ dataDir: "/d", tokenId: "a", tokenSecret: "b", disk }).disk;
const gib = 2 ** 30;

test("a volume's size goes by the end of its name, the first rule that fits", () => {
  const disk = options({
    volumeSizes: [
      { nameEndsWith: "-state", bytes: 2 * gib },
      { nameEndsWith: "te", bytes: gib },
    ],
  });
  const sizes = ["hf-x-state", "white", "hf-x-files", undefined].map((name) => volumeLimit(disk, name).bytes / gib);
  expect(sizes).toEqual([2, 1, 10, 10]);
});

test("files are limited with bytes, and a little is always allowed", () => {
  expect(diskLimit(options({}), gib).inodes).toBe(65_536);
  expect(diskLimit(options({ bytesPerInode: 4_096 }), gib).inodes).toBe(262_144);
  expect(diskLimit(options({}), 0).inodes).toBe(64);
});

test("a size that holds no file system is refused", () => {
  expect(() => options({ volumeBytes: 1 })).toThrow(/disk\.volumeBytes/);
});
