import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Trash } from "./trash.ts";

let dir: string;
let told: string[];
let trash: Trash;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-trash-"));
  told = [];
  trash = new Trash(join(dir, "trash"), (message) => told.push(message));
});
afterEach(() => rmSync(dir, { recursive: true }));

function tree(name: string): string {
  const path = join(dir, name);
  mkdirSync(join(path, "deep", "deeper"), { recursive: true });
  for (let n = 0; n < 8; n++) writeFileSync(join(path, "deep", `${n}`), "x");
  return path;
}

describe("the trash", () => {
  it("takes things away at once and removes them in the background", async () => {
    const path = tree("a");
    await trash.discard(path);
    expect(existsSync(path)).toBe(false);
    await trash.settled();
    expect(readdirSync(join(dir, "trash"))).toEqual([]);
    expect(told).toEqual([]);
  });

  it("goes on with what an earlier keeper left, without anybody waiting for it", async () => {
    mkdirSync(join(dir, "trash"));
    for (const name of ["x", "y"]) tree(join("trash", name));
    trash.empty();
    expect(readdirSync(join(dir, "trash"))).not.toEqual([]);
    await trash.settled();
    expect(readdirSync(join(dir, "trash"))).toEqual([]);
  });

  it("takes no offence at what is not there", async () => {
    await trash.discard(join(dir, "never"));
    expect(existsSync(join(dir, "trash"))).toBe(false);
    trash.empty();
    await trash.settled();
    expect(told).toEqual([]);
  });

  it("takes many things at once", async () => {
    const paths = Array.from({ length: 20 }, (_, n) => tree(`many-${n}`));
    await Promise.all(paths.map((path) => trash.discard(path)));
    await trash.settled();
    expect(readdirSync(dir)).toEqual(["trash"]);
    expect(readdirSync(join(dir, "trash"))).toEqual([]);
  });
});
