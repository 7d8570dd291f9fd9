import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { mayMoveUnder, SubdirectoryError, subdirectoryOf } from "./subdirectory.ts";

let dir: string;
let volume: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-sub-"));
  volume = join(dir, "volume");
  mkdirSync(volume);
  mkdirSync(join(dir, "outside"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const descriptors = () => readdirSync("/proc/self/fd").length;

test("what is missing is made, what is there is used, and nothing stays open", () => {
  const before = descriptors();
  expect(subdirectoryOf(volume, "a/b/c")).toBe(join(volume, "a/b/c"));
  expect(statSync(join(volume, "a/b/c")).isDirectory()).toBe(true);
  writeFileSync(join(volume, "a/b/c/kept"), "");
  expect(subdirectoryOf(volume, "a/b/c")).toBe(join(volume, "a/b/c"));
  expect(readdirSync(join(volume, "a/b/c"))).toEqual(["kept"]);
  expect(descriptors()).toBe(before);
});

test.each([0, 1, 2])("a link at component %d is never followed, and nothing is made behind it", (at) => {
  const before = descriptors();
  const names = ["a", "b", "c"];
  const parent = join(volume, ...names.slice(0, at));
  mkdirSync(parent, { recursive: true });
  for (const target of [join(dir, "outside"), "..", join(dir, "nowhere")]) {
    symlinkSync(target, join(parent, names[at] ?? ""));
    expect(() => subdirectoryOf(volume, "a/b/c"), target).toThrow(SubdirectoryError);
    rmSync(join(parent, names[at] ?? ""));
  }
  expect(readdirSync(join(dir, "outside"))).toEqual([]);
  expect(readdirSync(dir).toSorted()).toEqual(["outside", "volume"]);
  expect(descriptors()).toBe(before);
});

test("a file in the way is named; a volume that is not there is another kind of failure", () => {
  writeFileSync(join(volume, "a"), "");
  expect(() => subdirectoryOf(volume, "a/b")).toThrow(/'a\/b' is not a directory of the volume/);
  expect(() => subdirectoryOf(join(dir, "missing"), "a")).toThrow(/ENOENT/);
  expect(() => subdirectoryOf(join(dir, "missing"), "a")).not.toThrow(SubdirectoryError);
});

test("who mounts a directory above could replace a component; who mounts it, one beside or below cannot", () => {
  expect(mayMoveUnder(undefined, "a/b")).toBe(true);
  expect(mayMoveUnder("a", "a/b")).toBe(true);
  expect(mayMoveUnder("a/b", "a/b/c")).toBe(true);
  for (const other of ["a/b", "a/b/c", "a/bc", "b", "a/"]) expect(mayMoveUnder(other, "a/b"), other).toBe(false);
  expect(mayMoveUnder("a", "ab/c")).toBe(false);
});
