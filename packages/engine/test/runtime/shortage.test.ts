import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loopsOf, mib, noImages } from "../disk/_trees.ts";
import { cannotRun, HOST_ID_BASE, Machine } from "./_machine.ts";

const all = { bytes: 2 ** 40, inodes: 2 ** 30 };
/** More than the disk has: images promise it all the same. */
const scratch = { bytes: 4_096 * mib, inodes: 10_000 };
const otherAccount = HOST_ID_BASE + 65_536;

/** A disk of its own, on which nobody else writes. */
function smallDisk(bytes: number): { dir: string } & Disposable {
  const home = mkdtempSync(join(tmpdir(), "holdfast-small-"));
  const [file, dir] = [join(home, "disk"), join(home, "d")];
  writeFileSync(file, "");
  truncateSync(file, bytes);
  execFileSync("mkfs.ext4", ["-q", "-F", "-m", "0", file]);
  mkdirSync(dir);
  execFileSync("mount", ["-o", "loop", file, dir]);
  return {
    dir,
    [Symbol.dispose]: () => {
      execFileSync("umount", ["--lazy", dir]);
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function machineOn(dir: string, options: Parameters<typeof Machine.start>[0]): Promise<Machine> {
  const before = process.env.TMPDIR;
  process.env.TMPDIR = dir;
  try {
    return await Machine.start(options);
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
}

describe.skipIf(cannotRun() !== undefined || noImages() !== undefined)("a machine that runs short", () => {
  it("of disk: refuses what is new in words, lets go on what runs, and takes it again when there is room", async () => {
    using disk = smallDisk(1_024 * mib);
    await using machine = await machineOn(disk.dir, {
      disk: { quota: "image", convertUpTo: all },
      reserves: { diskBytes: 500 * mib },
    });
    const running = await machine.create({ limits: { scratch } });
    const filler = join(disk.dir, "filler");
    execFileSync("fallocate", ["-l", "600M", filler]);
    await expect(machine.create({ limits: { scratch } })).rejects.toMatchObject({
      code: "resource_exhausted",
      message: expect.stringMatching(/disk of this machine is nearly full: \d+ MiB free, 500 MiB are kept/),
    });
    expect((await machine.run(running, "echo still > /here && cat /here")).stdout).toBe("still\n");
    rmSync(filler);
    await machine.create({ limits: { scratch } });
  });

  it("of disk: the account that fills it goes, and its neighbour's files are whole and can be written", async () => {
    using disk = smallDisk(1_400 * mib);
    await using machine = await machineOn(disk.dir, {
      disk: { quota: "image", convertUpTo: all },
      reserves: { diskBytes: 1_000 * mib },
    });
    const source = join(machine.dir, "mine");
    mkdirSync(source);
    const volume = { bytes: 200 * mib, inodes: 1_000 };
    const mounts = [{ source, target: "/v", readOnly: false, idmapped: true, volume }];
    const b = await machine.create({ hostIdBase: otherAccount, mounts, limits: { scratch } });
    const a = await machine.create({ limits: { scratch } });
    await machine.run(b, "echo before > /v/a; sync");
    // Pages that nobody has written back yet are counted: no sync here.
    await machine.start(a, "i=0; while :; do dd if=/dev/zero of=/f$i bs=1M count=16 2>/dev/null; i=$((i+1)); done");
    const ended = await machine.runtime.waitSandbox(a, { signal: AbortSignal.timeout(60_000) });
    expect(ended.exit?.reason).toBe("disk");
    expect(await machine.runtime.state(b)).toEqual({ running: true });
    const wrote = await machine.run(b, "dd if=/dev/zero of=/v/more bs=1M count=20 conv=fsync 2>/dev/null && cat /v/a");
    expect(wrote).toMatchObject({ exit: { code: 0 }, stdout: "before\n" });
    await machine.runtime.forget(b);
    await expect.poll(() => loopsOf(machine.dir)).toEqual([]);
  }, 90_000);

  it("of memory: refuses what is new, and of twelve hogs of one account ends one; the other account goes on", async () => {
    await using full = await Machine.start({ reserves: { memoryBytes: 2 ** 50, leastMemoryBytes: 0 } });
    await expect(full.create()).rejects.toMatchObject({
      code: "resource_exhausted",
      message: expect.stringMatching(/memory of this machine is nearly used up/),
    });
    // Of their own: what others use of this machine meanwhile is not theirs.
    const reserves = { memoryBytes: 0, leastMemoryBytes: 100 * mib, totalMemoryBytes: 1_000 * mib };
    await using machine = await Machine.start({ reserves });
    const b = await machine.create({ hostIdBase: otherAccount });
    const hogs = await Promise.all(Array.from({ length: 12 }, () => machine.create()));
    for (const hog of hogs) {
      await machine.start(hog, "head -c 120m /dev/zero | tail; sleep 1000");
    }
    const first = await Promise.race(
      hogs.map((hog) => machine.runtime.waitSandbox(hog, { signal: AbortSignal.timeout(60_000) })),
    );
    expect(first.exit?.reason).toBe("memory");
    expect(await machine.runtime.state(b)).toEqual({ running: true });
    expect((await machine.run(b, "head -c 50m /dev/zero | tail -c 3 | wc -c")).stdout.trim()).toBe("3");
  }, 90_000);
});
