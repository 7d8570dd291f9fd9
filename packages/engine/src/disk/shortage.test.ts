import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { diskReserve, lookAround, memoryReserve, type Room, refusalOf, sentence, type Taker } from "./shortage.ts";

const gib = 2 ** 30;
const plenty: Room = {
  freeDisk: 50 * gib,
  pendingDisk: 0,
  diskReserve: 4 * gib,
  freeMemory: 8 * gib,
  memoryReserve: gib,
  memoryLeast: gib / 2,
};

const taker = (id: string, account: number, disk: number, memory = 0): Taker => ({
  id,
  account,
  diskBytes: disk * gib,
  pendingBytes: 0,
  memoryBytes: () => memory * gib,
});

test.each([
  [100, 0, 5],
  [20, 0, 2],
  [100, 4, 8],
  [100, 40, 10],
  [4, 4, 1],
])("a disk of %d GiB with %d GiB unwritten keeps %d GiB", (total, dirty, kept) => {
  expect(diskReserve(total * gib, dirty * gib) / gib).toBeCloseTo(kept);
});

test("memory keeps three quarters of a GiB or a tenth, and of a small machine no more than a quarter", () => {
  expect([1, 4, 20].map((total) => memoryReserve(total * gib) / gib)).toEqual([0.25, 0.75, 2]);
});

test("with room nothing is refused and nobody goes", () => {
  expect(refusalOf(plenty)).toBeUndefined();
  expect(sentence(plenty, [taker("a", 1, 40, 40)], new Map([["a", 0]]))).toBeUndefined();
});

test("below a reserve what is new is refused in words that say what is short; nobody goes yet", () => {
  const disk = { ...plenty, freeDisk: 3 * gib };
  expect(refusalOf(disk)).toMatch(/disk .* nearly full: 3072 MiB free, 4096 MiB are kept.*try again/);
  const memory = { ...plenty, freeMemory: 0.9 * gib };
  expect(refusalOf(memory)).toMatch(/memory .* nearly used up: 921 MiB free, 1024 MiB are kept/);
  for (const room of [disk, memory]) {
    expect(sentence(room, [taker("a", 1, 40, 40)], new Map([["a", 0]]))).toBeUndefined();
  }
});

test("below half of the disk's reserve the account that wrote most goes, with all its sandboxes, and nobody else", () => {
  const takers = [taker("a1", 1, 6), taker("a2", 1, 5), taker("b", 2, 30), taker("c", 3, 9)];
  const before = new Map([
    ["a1", 1 * gib],
    ["a2", 2 * gib],
    // The largest of all, but it wrote nothing.
    ["b", 30 * gib],
    ["c", 3 * gib],
  ]);
  expect(sentence({ ...plenty, freeDisk: gib }, takers, before)).toEqual({ reason: "disk", ids: ["a1", "a2"] });
});

test("when none of them writes, none of them goes: it is somebody else's disk that fills", () => {
  const takers = [taker("a", 1, 6), taker("b", 2, 30)];
  const before = new Map([
    ["a", 6 * gib],
    ["b", 31 * gib],
  ]);
  expect(sentence({ ...plenty, freeDisk: 0 }, takers, before)).toBeUndefined();
  // One that was not there before has no growth to be judged by.
  expect(sentence({ ...plenty, freeDisk: 0 }, [taker("new", 3, 9)], before)).toBeUndefined();
});

test("below half of the memory's reserve the largest sandbox of the account that holds most goes", () => {
  const hogs = Array.from({ length: 12 }, (_, index) => taker(`a${index}`, 1, 0, 1 + index / 10));
  const takers = [...hogs, taker("b", 2, 0, 3)];
  expect(sentence({ ...plenty, freeMemory: 0.4 * gib }, takers, new Map())).toEqual({ reason: "memory", ids: ["a11"] });
});

test("memory of their own: free is what they have left of it, whatever the rest of the machine has", () => {
  const takers = [taker("a", 1, 0, 1), taker("b", 2, 0, 0.5)];
  const room = (totalMemoryBytes: number) => lookAround(tmpdir(), takers, { totalMemoryBytes, diskBytes: 0 });
  // As small as to be there on any machine.
  expect(room(1.5 * gib + 1000).freeMemory).toBe(1000);
  expect(room(1.25 * gib).freeMemory).toBe(-0.25 * gib);
  expect(room(1.25 * gib).memoryReserve).toBe(memoryReserve(1.25 * gib));
  expect(refusalOf(room(1.25 * gib))).toMatch(/memory .* nearly used up: 0 MiB free/);
  expect(sentence(room(1.25 * gib), takers, new Map())).toEqual({ reason: "memory", ids: ["a"] });
  // More than the machine has is not there.
  expect(room(2 ** 60).freeMemory).toBe(lookAround(tmpdir(), takers).freeMemory);
});
