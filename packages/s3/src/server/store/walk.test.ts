import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DirectoryIndexes } from "./directory-index.ts";
import { fromBinary, toBinary } from "./paths.ts";
import { ObjectStore } from "./store.ts";
import { PAST } from "./walk.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "holdfast-walk-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const INDEXES = {
  "kept whole": {},
  "too large to be kept, in windows": { maxEntries: 0, windowEntries: 3 },
  "few of them kept": { maxEntries: 40, windowEntries: 5 },
};

async function open(indexes: DirectoryIndexes): Promise<ObjectStore> {
  const store = await ObjectStore.open({ dataDir: join(root, "data"), durable: false, indexes });
  await store.createBucket("test");
  return store;
}

async function put(store: ObjectStore, key: string): Promise<void> {
  await using sink = await store.createSink(0);
  const info = { sizeBytes: 0, etag: "x", modifiedMs: 0, headers: {}, metadata: {} };
  await store.commit({ bucket: "test", key }, { sink, info });
}

/** What a walk gives, from the cursor on; with a delimiter it skips as a listing does. */
async function walked(store: ObjectStore, query: { prefix?: string; after?: string; delimiter?: string }) {
  const prefix = toBinary(query.prefix ?? "");
  const walk = store.walk("test", { prefix, after: toBinary(query.after ?? "") });
  const found: string[] = [];
  for (let key = await walk.next(); key; key = await walk.next()) {
    const cut = query.delimiter ? key.key.indexOf(query.delimiter, prefix.length) : -1;
    if (cut < 0) found.push(fromBinary(key.key));
    else {
      const common = key.key.slice(0, cut + 1);
      found.push(fromBinary(common));
      walk.skipPast(common + PAST);
    }
  }
  return found;
}

function expected(keys: Iterable<string>, query: { prefix?: string; after?: string; delimiter?: string }): string[] {
  const { prefix = "", after = "", delimiter } = query;
  const bytes = (text: string) => Buffer.from(text);
  const sorted = [...keys].sort((a, b) => Buffer.compare(bytes(a), bytes(b)));
  const found = sorted.filter((key) => key.startsWith(prefix) && Buffer.compare(bytes(key), bytes(after)) > 0);
  const cut = (key: string) => {
    const at = delimiter ? key.indexOf(delimiter, prefix.length) : -1;
    return at < 0 ? key : key.slice(0, at + 1);
  };
  return [...new Set(found.map(cut))];
}

const ALPHABET = ["a", "b", "a/", "b/", "/", ".", "é", "~", "-", "0", "x".repeat(79), "y".repeat(80), "z".repeat(200)];
const randomKey = () =>
  Array.from({ length: 1 + randomInt(5) }, () => ALPHABET[randomInt(ALPHABET.length)])
    .join("")
    .slice(0, 400);

describe.each(Object.entries(INDEXES))("a walk over directories %s", (_name, options) => {
  it("gives the keys asked for, each once, in the order of their bytes", async () => {
    await using store = await open(new DirectoryIndexes(options));
    const keys = new Set(Array.from({ length: 80 }, randomKey));
    for (const key of keys) await put(store, key);
    expect(await walked(store, {})).toEqual(expected(keys, {}));
    const parts = [...keys].flatMap((key) => [key, key.slice(0, 1 + randomInt(key.length)), randomKey()]);
    for (let i = 0; i < 50; i++) {
      const query = {
        prefix: i % 3 === 0 ? "" : (parts[randomInt(parts.length)] ?? ""),
        after: i % 2 === 0 ? "" : (parts[randomInt(parts.length)] ?? ""),
        ...(i % 4 === 0 ? { delimiter: "/" } : {}),
      };
      // A delimiter's cursor is given as a listing does: behind all that it stands for.
      if (query.delimiter && query.after !== "") query.after = "";
      expect(await walked(store, query), JSON.stringify(query)).toEqual(expected(keys, query));
    }
  });

  it("sees every write and removal that was answered before it", async () => {
    await using store = await open(new DirectoryIndexes(options));
    const keys = new Set<string>();
    for (let round = 0; round < 30; round++) {
      const made = Array.from({ length: 3 }, randomKey);
      const gone = [...keys].filter(() => randomInt(4) === 0);
      await Promise.all([
        ...made.filter((key) => !gone.includes(key)).map((key) => put(store, key)),
        ...gone.map((key) => store.delete({ bucket: "test", key })),
      ]);
      for (const key of gone) keys.delete(key);
      for (const key of made) if (!gone.includes(key)) keys.add(key);
      expect(await walked(store, {})).toEqual(expected(keys, {}));
    }
  });

  it("gives what stays exactly once while others come and go", async () => {
    await using store = await open(new DirectoryIndexes(options));
    const staying = Array.from({ length: 40 }, (_, i) => `d/${String(i).padStart(3, "0")}-stays`);
    for (const key of staying) await put(store, key);
    let busy = true;
    const churn = async (worker: number) => {
      for (let i = 0; busy; i++) {
        const key = `d/${String(i % 40).padStart(3, "0")}-${worker}`;
        await put(store, key);
        await store.delete({ bucket: "test", key });
        await put(store, `d/e/${key}`);
        await store.delete({ bucket: "test", key: `d/e/${key}` });
      }
    };
    const churning = Promise.all([churn(1), churn(2)]);
    for (let round = 0; round < 8; round++) {
      const found = await walked(store, { prefix: "d/" });
      expect(found.filter((key) => key.endsWith("-stays"))).toEqual(staying);
      expect(new Set(found).size).toBe(found.length);
    }
    busy = false;
    await churning;
    expect(await walked(store, {})).toEqual(staying);
  });
});

describe("what is kept of directories", () => {
  it("serves the pages after the first without reading the directory again", async () => {
    const indexes = new DirectoryIndexes();
    await using store = await open(indexes);
    for (let i = 0; i < 50; i++) await put(store, `big/${String(i).padStart(2, "0")}`);
    const first = await walked(store, { prefix: "big/" });
    await rm(join(root, "data/buckets/test/+big"), { recursive: true });
    expect(await walked(store, { prefix: "big/", after: "big/39" })).toEqual(first.slice(40));
  });

  it("is bounded, however many keys are ever listed", async () => {
    const indexes = new DirectoryIndexes({ maxEntries: 100 });
    await using store = await open(indexes);
    for (let dir = 0; dir < 12; dir++) for (let i = 0; i < 20; i++) await put(store, `${dir}/${i}`);
    for (let dir = 0; dir < 12; dir++) expect(await walked(store, { prefix: `${dir}/` })).toHaveLength(20);
    expect(await walked(store, {})).toHaveLength(240);
    expect(indexes.size).toBeLessThanOrEqual(100);
    for (let dir = 0; dir < 12; dir++)
      for (let i = 0; i < 20; i++) await store.delete({ bucket: "test", key: `${dir}/${i}` });
    expect(await walked(store, {})).toEqual([]);
    expect(indexes.size).toBe(0);
  });
});
