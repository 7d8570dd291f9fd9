import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hostIdBase, rangeSize } from "./id-ranges.ts";
import { openStore, type Store } from "./store.ts";

let dir: string;
let store: Store;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-ranges-"));
  store = openStore(dir);
});
afterEach(() => {
  store[Symbol.dispose]();
  rmSync(dir, { recursive: true });
});

/** As the records of sandboxes have it: this is all that is looked at. */
function lives(owner: string, status = "running"): string {
  const id = `sb-${Math.random().toString(36).slice(2)}`;
  store.run(
    `INSERT INTO sandboxes (id, task_id, app_id, status, spec, sealed_env, tags, created_at, deadline_at)
     VALUES (?, ?, 'ap-1', ?, ?, x'00', '[]', ?, 1)`,
    id,
    `ta-${id}`,
    status,
    JSON.stringify({ idOwner: owner }),
    Math.random(),
  );
  return id;
}

test("each owner has a range of its own, the same one again and after a restart", () => {
  const owners = ["account:a", "account:b", "app:ap-1", "image-builder"];
  const bases = owners.map((owner) => hostIdBase(store, owner));
  for (const [index, base] of bases.entries()) {
    expect(base % rangeSize).toBe(0);
    for (const other of bases.slice(index + 1)) expect(Math.abs(other - base)).toBeGreaterThanOrEqual(rangeSize);
  }
  store[Symbol.dispose]();
  store = openStore(dir);
  expect(owners.map((owner) => hostIdBase(store, owner))).toEqual(bases);
});

test("with all given out, whoever has had no sandbox for longest gives its range; a living one's is never taken", () => {
  const first = hostIdBase(store, "account:0");
  const last = first + 3 * rangeSize;
  for (const owner of ["account:1", "account:2", "account:3"]) hostIdBase(store, owner, last);
  lives("account:0");
  lives("account:1", "creating");
  lives("account:2", "finished");
  // The first two have sandboxes, so it is the third's.
  expect(hostIdBase(store, "account:new", last)).toBe(first + 2 * rangeSize);
  expect(hostIdBase(store, "account:newer", last)).toBe(first + 3 * rangeSize);
  // The one that lost its range gets another as any newcomer.
  lives("account:new");
  expect(hostIdBase(store, "account:2", last)).toBe(first + 3 * rangeSize);
  lives("account:2");
  expect(() => hostIdBase(store, "account:late", last)).toThrow(/All ranges of host user ids are given out/);
});

test("the image builder's range is nobody else's, ever: its layers are owned by it", () => {
  const base = hostIdBase(store, "image-builder");
  expect(() => hostIdBase(store, "account:a", base)).toThrow(/given out/);
  expect(hostIdBase(store, "image-builder", base)).toBe(base);
});

test("whoever comes and goes: no two with sandboxes ever share a range", () => {
  let state = 5;
  const next = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const first = hostIdBase(store, "account:0");
  const last = first + 5 * rangeSize;
  const living = new Map<string, { base: number; id: string }>();
  for (let step = 0; step < 300; step++) {
    const owner = `account:${next(30)}`;
    const has = living.get(owner);
    if (has !== undefined && next(2) === 0) {
      store.run("UPDATE sandboxes SET status = 'finished' WHERE id = ?", has.id);
      living.delete(owner);
      continue;
    }
    if (has === undefined && living.size === 6) {
      expect(() => hostIdBase(store, owner, last)).toThrow(/given out/);
      continue;
    }
    const base = hostIdBase(store, owner, last);
    if (has === undefined) living.set(owner, { base, id: lives(owner) });
    else expect(base).toBe(has.base);
    expect(new Set([...living.values()].map((each) => each.base)).size).toBe(living.size);
  }
});
