import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newSandboxIds } from "../../ids.ts";
import { hostIdBase, rangeSize } from "../../state/id-ranges.ts";
import { openStore, type Store } from "../../state/store.ts";
import { type NewSandbox, SandboxRecords } from "./records.ts";

let dir: string;
let store: Store;
let records: SandboxRecords;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-records-"));
  store = openStore(dir);
  records = new SandboxRecords(store);
});
afterEach(() => {
  store[Symbol.dispose]();
  rmSync(dir, { recursive: true });
});

function insert(more: Partial<NewSandbox> = {}) {
  const ids = newSandboxIds();
  return records.insert({
    id: ids.sandboxId,
    taskId: ids.taskId,
    appId: "ap-1",
    name: undefined,
    spec: {
      imageId: "im-1",
      args: [],
      volumes: [],
      policy: { kind: "open" },
      limits: {},
      timeoutMs: 1000,
      idOwner: "app:ap-1",
      openPorts: [],
    },
    env: {},
    tags: [],
    idempotencyKey: undefined,
    ...more,
  });
}

describe("pages of the sandbox list", () => {
  it("give every sandbox exactly once, newest first, and end with an empty page", () => {
    const made = Array.from({ length: 25 }, () => insert().id);
    for (const id of made) records.setRunning(id);
    const seen: string[] = [];
    let before = Number.MAX_VALUE;
    for (let rounds = 0; rounds < 10; rounds++) {
      const page = records.page({ appId: undefined, before, withFinished: false, tags: [], size: 10 });
      if (page.length === 0) break;
      seen.push(...page.map((record) => record.id));
      before = page.at(-1)?.createdAt ?? 0;
      expect(before).toBeGreaterThan(0);
    }
    expect(seen).toEqual(made.toReversed());
  });

  it("filter by all tags, by App, and leave out what has finished or not started", () => {
    const tag = (tagName: string, tagValue: string) => ({ tagName, tagValue });
    const both = insert({ tags: [tag("a", "1"), tag("b", "2")] });
    const oneOnly = insert({ tags: [tag("a", "1")] });
    const other = insert({ appId: "ap-2", tags: [tag("a", "1")] });
    insert({ tags: [tag("a", "1")] });
    for (const { id } of [both, oneOnly, other]) records.setRunning(id);
    const ids = (appId: string | undefined, ...tags: { tagName: string; tagValue: string }[]) =>
      records.page({ appId, before: 1e12, withFinished: false, tags, size: 10 }).map((record) => record.id);
    expect(ids("ap-1", tag("a", "1"))).toEqual([oneOnly.id, both.id]);
    expect(ids(undefined, tag("a", "1"), tag("b", "2"))).toEqual([both.id]);
    expect(ids(undefined, tag("a", "2"))).toEqual([]);
    records.finish(both.id, { status: 1 });
    expect(ids(undefined, tag("b", "2"))).toEqual([]);
  });
});

describe("sandbox records", () => {
  it("let the first word about an end stand", () => {
    const { id } = insert();
    records.setRunning(id);
    records.intend(id, { status: 4 });
    records.intend(id, { status: 3 });
    records.finish(id, { status: 1 });
    expect(records.byId(id)).toMatchObject({ status: "finished", result: { status: 4 } });
    records.finish(id, { status: 2 });
    expect(records.byId(id).result).toEqual({ status: 4 });
  });

  it("free a name at the end", () => {
    const first = insert({ name: "n" });
    expect(() => insert({ name: "n" })).toThrow(/already exists/);
    insert({ name: "n", appId: "ap-2" });
    records.finish(first.id, { status: 1 });
    expect(insert({ name: "n" }).name).toBe("n");
  });

  it("never write environment values in clear", () => {
    const { id } = insert({ env: { TOKEN: "very-secret-value" } });
    expect(records.byId(id).env).toEqual({ TOKEN: "very-secret-value" });
    for (const file of ["engine.db", "engine.db-wal"]) {
      expect(readFileSync(join(dir, "state", file)).includes("very-secret-value")).toBe(false);
    }
  });
});

describe("ranges of host ids", () => {
  it("belong to one owner each", () => {
    const first = hostIdBase(store, "account:a");
    const second = hostIdBase(store, "account:b");
    expect(second - first).toBe(rangeSize);
    expect(hostIdBase(store, "account:a")).toBe(first);
    expect(first % rangeSize).toBe(0);
  });

  it("go to the next owner when all are given out, unless a sandbox of the old one lives", () => {
    const first = hostIdBase(store, "account:a");
    const last = first + rangeSize;
    const second = hostIdBase(store, "account:b", last);
    const { id } = insert({ spec: { ...insert().spec, idOwner: "account:a" } });
    records.setRunning(id);
    expect(hostIdBase(store, "account:c", last)).toBe(second);
    expect(hostIdBase(store, "account:a", last)).toBe(first);
    records.setRunning(insert({ spec: { ...records.byId(id).spec, idOwner: "account:c" } }).id);
    expect(() => hostIdBase(store, "account:d", last)).toThrow(/given out/);
    records.finish(id, { status: 1 });
    expect(hostIdBase(store, "account:d", last)).toBe(first);
  });
});
