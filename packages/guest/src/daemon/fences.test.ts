import { mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Fences } from "./fences.ts";

let folder: string;
let living: Set<string>;
const open = (most?: number) =>
  new Fences(folder, { hasProcess: (id) => living.has(id), ...(most === undefined ? {} : { most }) });
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hf-fences-"));
  living = new Set();
});
afterEach(() => rmSync(folder, { recursive: true }));

test("a higher generation shuts out the lower ones, for good and of that session alone", () => {
  const fences = open();
  expect(fences.admit("one", 3)).toBe(true);
  expect([fences.admit("one", 2), fences.admit("one", 3), fences.admit("two", 1)]).toEqual([false, true, true]);
  expect([fences.get("one"), fences.get("two"), fences.get("never")]).toEqual([3, 1, 0]);
  const after = open();
  expect([after.admit("one", 2), after.get("one"), after.admit("one", 4), open().get("one")]).toEqual([
    false,
    3,
    true,
    4,
  ]);
});

test("however many sessions there ever were: those with a process and the last used are kept, no more files, nor after a restart", () => {
  let fences = open(20);
  living = new Set(["s3", "s7"]);
  for (let n = 0; n < 200; n++) {
    expect(fences.admit(`s${n}`, 5)).toBe(true);
    // Used again and again, so it is never among the oldest.
    expect(fences.admit("s0", 5)).toBe(true);
    // As time passes between them; the order of files is told by it.
    utimesSync(join(folder, `s${n}`), n, n);
  }
  const kept = () => readdirSync(folder).toSorted();
  expect(kept()).toHaveLength(20);
  for (const id of ["s0", "s3", "s7", "s199", "s183"]) expect(kept()).toContain(id);
  expect(fences.admit("s3", 4)).toBe(false);
  fences = open(20);
  living.delete("s7");
  expect(fences.admit("s7", 4)).toBe(false);
  for (let n = 200; n < 220; n++) fences.admit(`s${n}`, 1);
  expect(kept()).toHaveLength(20);
  expect(kept()).toContain("s3");
  expect(kept()).not.toContain("s7");
});

test("what is only asked for, or refused, leaves nothing behind", () => {
  const fences = open(2);
  fences.admit("one", 7);
  for (let n = 0; n < 100; n++) {
    expect(fences.get(`asked${n}`)).toBe(0);
    expect(fences.admit("one", 6)).toBe(false);
  }
  expect(readdirSync(folder)).toEqual(["one"]);
});
