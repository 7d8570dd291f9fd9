import { expect, test } from "vitest";
import { execPaths, isSafeName, layoutOf, sandboxPaths, segmentFile, segmentStart } from "./paths.ts";

test("a segment's file says where it begins, and no other file is taken for one", () => {
  for (const name of ["stdout", "stderr"] as const) {
    for (const start of [0, 1, 7, 4_194_304, 2 ** 40, 9_007_199_254_740_991])
      expect(segmentStart(name, segmentFile(name, start))).toBe(start);
    const strange = ["", "0", "00", "01", "-1", "1.5", "1e3", " 1", "1 ", "x", "99999999999999999"];
    for (const rest of strange) expect(segmentStart(name, `${name}.${rest}`), rest).toBeUndefined();
    for (const file of ["pid", "exit.json", "exit.json.tmp", "runtime.log", `${name}x`, `x${name}`, ""])
      expect(segmentStart(name, file), file).toBeUndefined();
  }
  expect(segmentStart("stdout", segmentFile("stderr", 5))).toBeUndefined();
  // As keepers of the first release wrote it.
  expect(segmentFile("stdout", 0)).toBe("stdout");
});

test("what may name a file never leads out of its directory", () => {
  for (const name of ["sb-01", "main", "a", "A.b_c-d", "0".repeat(128)]) expect(isSafeName(name), name).toBe(true);
  const unsafe = ["", ".", "..", ".hidden", "-rf", "_x", "a/b", "a\0b", "a b", "ä", "a\n", "../x", "0".repeat(129)];
  for (const name of unsafe) expect(isSafeName(name), JSON.stringify(name)).toBe(false);
  // Every character alone, and in the middle: what is let through is one of the names' own.
  for (let code = 0; code < 512; code++) {
    const character = String.fromCharCode(code);
    expect(isSafeName(`a${character}a`)).toBe(/[A-Za-z0-9._-]/.test(character));
    expect(isSafeName(character)).toBe(/[A-Za-z0-9]/.test(character));
  }
});

test("everything of a sandbox lies below its own directories, and two sandboxes share none", () => {
  const layout = layoutOf("/state", "i1");
  const [one, two] = [sandboxPaths(layout, "sb-1"), sandboxPaths(layout, "sb-2")];
  for (const path of [one.bundle, one.config, one.record, one.final, one.runtimeLog, one.data, one.execs])
    expect(path.startsWith(`${one.dir}/`)).toBe(true);
  for (const path of [one.root, one.mount(3), one.file(3)]) expect(path.startsWith(`${one.mounts}/`)).toBe(true);
  expect(one.mount(1)).not.toBe(one.file(1));
  expect(two.dir).not.toBe(one.dir);
  expect(two.mounts.startsWith(`${one.mounts}/`)).toBe(false);
  const exec = execPaths(layout, "sb-1", "e1");
  expect(exec.dir).toBe(`${one.execs}/e1`);
  expect(new Set(Object.values(exec)).size).toBe(Object.keys(exec).length);
  // Two engines on one machine have neither the tmpfs nor the cgroups in common.
  const other = layoutOf("/state2", "i2");
  expect(other.privateDir).not.toBe(layout.privateDir);
  expect(other.cgroupParent).not.toBe(layout.cgroupParent);
});
