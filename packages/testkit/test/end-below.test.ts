import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { endBelow } from "../src/end-below.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "end-below-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A daemon that nobody waits for, as a failed test leaves one; its process id. */
async function daemon(options: { cwd?: string; env?: Record<string, string>; under?: string[] }): Promise<number> {
  const { cwd = "/", env = {}, under = [] } = options;
  const script = 'setsid "$@" >/dev/null 2>&1 & echo $!';
  const child = spawn("sh", ["-c", script, "sh", ...under, "sleep", "1000"], {
    cwd,
    env: { PATH: process.env.PATH ?? "", ...env },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  return Number(said.toString());
}

const isSleeping = (pid: number) => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep");
  } catch {
    // Gone.
    return false;
  }
};

test("nothing of the directory: nothing is said, nothing of others ends", async () => {
  const other = await daemon({});
  await expect.poll(() => isSleeping(other)).toBe(true);
  expect(await endBelow(dir)).toEqual([]);
  expect(isSleeping(other)).toBe(true);
  process.kill(other, "SIGKILL");
});

test.each([
  ["its environment", () => ({ env: { DATA: `${dir}/x` } })],
  ["its working directory", () => ({ cwd: dir })],
])("a daemon that names it by %s ends, and is named", async (_what, options) => {
  const pid = await daemon(options());
  await expect.poll(() => isSleeping(pid)).toBe(true);
  expect(await endBelow(dir)).toEqual([`${pid} sleep 1000`]);
  await expect.poll(() => isSleeping(pid)).toBe(false);
});

test("mounts, also those that only a process sees: unmounted, the process ended", async () => {
  const point = join(dir, "mounted");
  mkdirSync(point);
  const mounting = ["unshare", "--mount", "sh", "-c", `mount -t tmpfs none ${point} && exec sleep 1000`];
  const pid = await daemon({ under: [...mounting, "sh"] });
  await expect.poll(() => isSleeping(pid)).toBe(true);
  execFileSync("mount", ["-t", "tmpfs", "none", point]);
  expect(await endBelow(dir)).toEqual([`${pid} sleep 1000`, `mount ${point}`]);
  expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(dir);
  await expect.poll(() => isSleeping(pid)).toBe(false);
});

test("what ends within the grace is not told", async () => {
  const pid = await daemon({ cwd: dir });
  await expect.poll(() => isSleeping(pid)).toBe(true);
  const ending = endBelow(dir, { graceMs: 10_000 });
  process.kill(pid, "SIGTERM");
  expect(await ending).toEqual([]);
});
