import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { imageState } from "../../src/disk/make-image.ts";
import { loopsOf, manifest, mib, printNoImages, scratch, small } from "./_trees.ts";

/** What refuses a tree: the words of the program that was refused. */
function refusal(args: string[]): string {
  try {
    execFileSync(args[0] ?? "", args.slice(1), { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
    return "";
  } catch (error) {
    return error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
  }
}

/** Whatever a workspace may hold that a careless copy loses. */
function fillPlain(dir: string): void {
  mkdirSync(join(dir, "deep/er"), { recursive: true });
  for (let i = 0; i < 40; i++) writeFileSync(join(dir, "deep", `f${i}`), `${i}`.repeat(50));
  writeFileSync(join(dir, "mine"), "claude's");
  chownSync(join(dir, "mine"), 1000, 1000);
  linkSync(join(dir, "mine"), join(dir, "deep/er/again"));
  symlinkSync("/etc/passwd", join(dir, "away"));
  lutimesSync(join(dir, "away"), 1_000, 1_000);
  symlinkSync("nowhere", join(dir, "broken"));
  writeFileSync(join(dir, "setuid"), "");
  chmodSync(join(dir, "setuid"), 0o4711);
  execFileSync("mkfifo", [join(dir, "fifo")]);
  writeFileSync(join(dir, "sparse"), "start");
  truncateSync(join(dir, "sparse"), 40 * mib);
  writeFileSync(join(dir, " a\nname"), "odd");
  utimesSync(join(dir, "deep"), 2_000, 2_000);
  chownSync(dir, 1000, 1000);
  chmodSync(dir, 0o750);
  utimesSync(dir, 3_000, 3_000);
}

describe.skipIf(printNoImages())("images", () => {
  it("refuse bytes over the limit to one and leave the neighbour alone", async () => {
    using home = scratch();
    const trees = home.trees();
    for (const name of ["vo-a", "vo-b"]) await trees.create(join(home.dir, name), small);
    const [a, b] = await Promise.all(["vo-a", "vo-b"].map((name) => trees.open(join(home.dir, name), small)));
    if (a === undefined || b === undefined) throw new Error("not opened");
    expect(refusal(["fallocate", "-l", "10G", join(a.source, "big")])).toMatch(/No space left|too large/);
    expect(refusal(["dd", "if=/dev/zero", `of=${a.source}/zeros`, "bs=1M", "count=100", "conv=fsync"])).toMatch(
      /No space left/,
    );
    expect(statSync(join(a.source, "zeros")).size).toBeLessThan(small.bytes);
    expect(refusal(["dd", "if=/dev/zero", `of=${b.source}/mine`, "bs=1M", "count=20", "conv=fsync"])).toBe("");
    const { use } = a;
    expect(use().bytes).toBeGreaterThan(0.7 * small.bytes);
    await Promise.all([a.close(), b.close()]);
    await expect.poll(() => loopsOf(home.dir)).toEqual([]);
  });

  it("refuse files over the limit, tell the limit to df and show nothing of their own", async () => {
    using home = scratch();
    const trees = home.trees();
    const tree = await trees.open(await plain(home.dir), small);
    expect(tree.kind).toBe("image");
    expect(readdirSync(tree.source)).toEqual([]);
    expect(statSync(tree.source)).toMatchObject({ uid: 0, gid: 0, mode: 0o40755 });
    const { blocks, bsize, files } = statfsSync(tree.source);
    expect(blocks * bsize).toBeGreaterThan(0.8 * small.bytes);
    expect(blocks * bsize).toBeLessThanOrEqual(small.bytes);
    expect(files).toBeGreaterThanOrEqual(small.inodes);
    expect(files).toBeLessThan(1.1 * small.inodes);
    const made = () => {
      for (let i = 0; ; i++) writeFileSync(join(tree.source, String(i)), "");
    };
    expect(made).toThrow(/ENOSPC/);
    expect(readdirSync(tree.source).length).toBeGreaterThan(0.9 * small.inodes);
    await tree.close();
  });

  it("take over a plain tree with everything that belongs to it", async () => {
    using home = scratch();
    const path = await plain(home.dir);
    fillPlain(path);
    const before = manifest(path);
    const tree = await home.trees().open(path, small);
    expect(tree.kind).toBe("image");
    expect(manifest(tree.source)).toBe(before);
    expect(statSync(join(tree.source, "sparse")).blocks).toBeLessThan(100);
    expect(existsSync(path)).toBe(false);
    await tree.close();
    expect(readdirSync(home.dir)).toEqual(["vo-1.img"]);
    expect(home.warnings).toEqual([]);
  });

  it("raise the limit for a plain tree that is over it, and never cut", async () => {
    using home = scratch();
    const path = await plain(home.dir);
    execFileSync("dd", ["if=/dev/urandom", `of=${path}/much`, "bs=1M", "count=24"], { stdio: "ignore" });
    const before = manifest(path);
    const little = { ...small, bytes: 20 * mib };
    const tree = await home.trees().open(path, little);
    expect(tree.limit.bytes).toBeGreaterThan(30 * mib);
    expect(manifest(tree.source)).toBe(before);
    await tree.close();
    const again = await home.trees().open(path, little);
    expect(manifest(again.source)).toBe(before);
    await again.close();
  });

  it("leave one plain that is too large to be copied", async () => {
    using home = scratch();
    const path = await plain(home.dir);
    fillPlain(path);
    const tree = await home.trees("image", { bytes: mib, inodes: 20 }).open(path, small);
    expect(tree).toMatchObject({ kind: "soft", source: path });
    expect(home.warnings.join()).toMatch(/too large/);
    await tree.close();
    expect(readdirSync(home.dir)).toEqual(["vo-1"]);
  });

  it("grow and shrink between two openings, with everything in them", async () => {
    using home = scratch();
    const path = await plain(home.dir);
    fillPlain(path);
    const before = manifest(path);
    const sizes: number[] = [];
    for (const bytes of [64, 256, 128]) {
      const tree = await home.trees().open(path, { ...small, bytes: bytes * mib });
      const { blocks, bsize } = statfsSync(tree.source);
      sizes.push((blocks * bsize) / (bytes * mib));
      expect(manifest(tree.source)).toBe(before);
      await tree.close();
    }
    for (const share of sizes) expect(Math.abs(share - 0.95)).toBeLessThan(0.1);
  });

  it("give space back to the disk", async () => {
    using home = scratch();
    const tree = await home.trees().open(await plain(home.dir), { bytes: 128 * mib, inodes: 1_000 });
    execFileSync("dd", ["if=/dev/urandom", `of=${tree.source}/much`, "bs=1M", "count=40", "conv=fsync"], {
      stdio: "ignore",
    });
    const onDisk = () => statSync(join(home.dir, "vo-1.img")).blocks * 512;
    expect(onDisk()).toBeGreaterThan(40 * mib);
    expect(tree.use().pendingBytes).toBeLessThan(20 * mib);
    execFileSync("rm", [join(tree.source, "much")]);
    await tree.close();
    await expect.poll(onDisk).toBeLessThan(20 * mib);
  });

  it("are one file system for everybody who opens them, also beside a keeper that is gone", async () => {
    using home = scratch();
    const path = await plain(home.dir);
    const first = await home.trees().open(path, small);
    // Not the same opener: it finds what is bound to the image.
    const second = await home.trees().open(path, small);
    writeFileSync(join(first.source, "written"), "here");
    expect(readFileSync(join(second.source, "written"), "utf8")).toBe("here");
    expect(loopsOf(home.dir)).toHaveLength(1);
    await first.close();
    writeFileSync(join(second.source, "later"), "");
    await second.close();
    await expect.poll(() => loopsOf(home.dir)).toEqual([]);
  });

  it("are mended before they are used when a full disk has broken them off", async () => {
    using home = scratch();
    const path = await plain(home.dir);
    writeFileSync(join(path, "kept"), "kept");
    await (await home.trees().open(path, small)).close();
    const image = join(home.dir, "vo-1.img");
    execFileSync("debugfs", ["-w", "-R", "set_super_value state 2", image], { stdio: "ignore" });
    expect(imageState(image).sound).toBe(false);
    const tree = await home.trees().open(path, small);
    writeFileSync(join(tree.source, "more"), "");
    expect(readFileSync(join(tree.source, "kept"), "utf8")).toBe("kept");
    await tree.close();
    expect(imageState(image).sound).toBe(true);
  });

  it("believe the image once it has its name, whatever lies beside it", async () => {
    using home = scratch();
    const path = await plain(home.dir);
    writeFileSync(join(path, "new"), "");
    const tree = await home.trees().open(path, small);
    await tree.close();
    // Dead right after the rename: the plain tree is still there, and older.
    mkdirSync(path);
    writeFileSync(join(path, "old"), "");
    const again = await home.trees().open(path, small);
    expect(readdirSync(again.source)).toEqual(["new"]);
    await again.close();
    expect(readdirSync(home.dir)).toEqual(["vo-1.img"]);
    // Dead while the image was being made: it has no name yet and counts for nothing.
    renameSync(join(home.dir, "vo-1.img"), `${path}.new.img`);
    mkdirSync(path);
    writeFileSync(join(path, "truth"), "");
    const third = await home.trees().open(path, small);
    expect(readdirSync(third.source)).toEqual(["truth"]);
    await third.close();
    expect(readdirSync(home.dir)).toEqual(["vo-1.img"]);
  });

  it("lose nothing and leave nothing bound when their maker is killed at any moment", async () => {
    using home = scratch();
    const path = await plain(home.dir);
    fillPlain(path);
    const before = manifest(path);
    for (const afterMs of [5, 40, 90, 200]) {
      const child = spawn(process.execPath, [fileURLToPath(new URL("_opener.ts", import.meta.url)), path], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const exited = once(child, "exit");
      await once(child.stdout, "data");
      await delay(afterMs);
      child.kill("SIGKILL");
      await exited;
      await expect.poll(() => loopsOf(home.dir)).toEqual([]);
      const [tree] = [await home.trees().open(path, small)];
      expect(manifest(tree.source), `killed after ${afterMs} ms`).toBe(before);
      // Back to a plain tree for the next round.
      execFileSync("cp", ["-a", `${tree.source}/.`, `${path}.plain`]);
      await tree.close();
      await home.trees().remove(path);
      expect(readdirSync(home.dir)).toEqual(["vo-1.plain"]);
      renameSync(`${path}.plain`, path);
    }
  }, 90_000);
});

async function plain(dir: string): Promise<string> {
  const path = join(dir, "vo-1");
  mkdirSync(path, { mode: 0o755 });
  return path;
}
