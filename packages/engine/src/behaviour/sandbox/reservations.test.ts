import { Status } from "nice-grpc";
import { expect, test } from "vitest";
import { admitMemory, type MemoryRules, type Reservation } from "./reservations.ts";

const mib = 2 ** 20;
const rules: MemoryRules = { usableBytes: 1_000 * mib, overcommit: 2, accountShare: 0.5 };
const a = (bytes: number): Reservation => ({ owner: "a", bytes: bytes * mib });
const b = (bytes: number): Reservation => ({ owner: "b", bytes: bytes * mib });

test("a sandbox is admitted up to the last byte of its account's share, and of the machine", () => {
  expect(() => admitMemory(a(1_000), [], rules)).not.toThrow();
  expect(() => admitMemory(a(1_001), [], rules)).toThrow(/1001 MiB.*this account.*0 MiB.*of 1000 MiB/);
  expect(() => admitMemory(a(500), [a(500), b(1_000)], rules)).not.toThrow();
  const two = { ...rules, accountShare: 1 };
  expect(() => admitMemory(a(501), [a(500), b(1_000)], two)).toThrow(
    /501 MiB.*all sandboxes.*1500 MiB.*of 2000 MiB.*try again/,
  );
});

test("the refusal is no fault that passes within a moment, and says what to do", () => {
  expect(() => admitMemory(a(2), [a(999)], rules)).toThrow(
    expect.objectContaining({ status: Status.RESOURCE_EXHAUSTED, message: expect.stringMatching(/Stop one/) }),
  );
});

/** A small generator of its own, so that a failure names its seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test("whoever comes and goes in whatever order: no sum is ever over, and who is refused would have been", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const next = random(seed);
    const share = 0.25 + next() * 0.75;
    const given: MemoryRules = { usableBytes: 500 * mib, overcommit: 0.5 + next() * 4, accountShare: share };
    const total = given.usableBytes * given.overcommit;
    const living: Reservation[] = [];
    const sum = (owner?: string) =>
      living
        .filter((each) => owner === undefined || each.owner === owner)
        .reduce((bytes, each) => bytes + each.bytes, 0);
    for (let step = 0; step < 60; step++) {
      if (next() < 0.3) living.splice(Math.floor(next() * living.length), 1);
      const wanted = { owner: ["a", "b", "c"][Math.floor(next() * 3)] ?? "a", bytes: Math.floor(next() * 400 * mib) };
      const fits = sum() + wanted.bytes <= total && sum(wanted.owner) + wanted.bytes <= total * share;
      let admitted = true;
      try {
        admitMemory(wanted, living, given);
      } catch {
        admitted = false;
      }
      expect(admitted, `seed ${seed}, step ${step}`).toBe(fits);
      if (admitted) living.push(wanted);
      expect(sum(), `seed ${seed}`).toBeLessThanOrEqual(total);
      for (const owner of ["a", "b", "c"]) expect(sum(owner)).toBeLessThanOrEqual(total * share);
    }
  }
});

test("one account alone never takes what another needs to begin", () => {
  const living: Reservation[] = [];
  for (;;) {
    try {
      admitMemory(a(64), living, rules);
    } catch {
      break;
    }
    living.push(a(64));
  }
  expect(living.length).toBe(15);
  expect(() => admitMemory(b(512), living, rules)).not.toThrow();
});
