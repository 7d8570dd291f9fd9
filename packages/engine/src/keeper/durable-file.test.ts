import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readJson, writeJsonDurably } from "./durable-file.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-durable-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test("what is written is read, replaces what was there, and is root's alone", async () => {
  const path = join(dir, "final.json");
  for (const value of [{ exit: { code: 0 } }, { text: "ä\u0000\n" }, null, [1, 2]]) {
    await writeJsonDurably(path, value);
    expect(await readJson(path)).toEqual(value);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(["final.json"]);
  }
});

test("a file that a crash has torn, anywhere, is as none; one that cannot be read just now is an error", async () => {
  const path = join(dir, "exit.json");
  await writeJsonDurably(path, { exit: { code: 17 }, stdoutBytes: 123_456 });
  const whole = readFileSync(path, "utf8");
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(path, whole.slice(0, length));
    expect(await readJson(path), `${length} bytes`).toBeUndefined();
  }
  expect(await readJson(join(dir, "missing"))).toBeUndefined();
  expect(await readJson(join(path, "below a file"))).toBeUndefined();
  await expect(readJson(dir)).rejects.toMatchObject({ code: "EISDIR" });
});

test("a write that fails leaves the old one as it was, nothing beside it, and says why", async () => {
  const path = join(dir, "record.json");
  await writeJsonDurably(path, { first: true });
  // Nothing may be written where a directory stands.
  mkdirSync(`${path}.tmp`);
  await expect(writeJsonDurably(path, { second: true })).rejects.toMatchObject({ code: "EISDIR" });
  expect(await readJson(path)).toEqual({ first: true });
  rmSync(`${path}.tmp`, { recursive: true });
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  await expect(writeJsonDurably(path, circle)).rejects.toThrow(/circular/i);
  expect(readdirSync(dir)).toEqual(["record.json"]);
  await expect(writeJsonDurably(join(dir, "no", "such", "dir"), {})).rejects.toMatchObject({ code: "ENOENT" });
});

test("of writes and reads at the same time each read sees one of the values whole", async () => {
  const path = join(dir, "state.json");
  const value = (n: number) => ({ n, filler: "x".repeat(n * 100) });
  await writeJsonDurably(path, value(0));
  let over = false;
  const reading = (async () => {
    let reads = 0;
    for (; !over; reads++) {
      const { n, filler } = (await readJson(path)) as ReturnType<typeof value>;
      expect(filler.length).toBe(n * 100);
    }
    return reads;
  })();
  for (let n = 1; n <= 30; n++) await writeJsonDurably(path, value(n));
  over = true;
  expect(await reading).toBeGreaterThan(0);
  expect(await readJson(path)).toEqual(value(30));
});
