import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isAlive, processOf, TestGuest, until } from "./_guest.ts";

const fence = (guest: TestGuest, generation: number, ...more: string[]) =>
  guest.run(["fence", "--run-dir", guest.runDir, "--session", "sesn_1", "--generation", String(generation), ...more]);

test("a fence from the command line starts the daemon, and shuts out lower generations of that session alone", async () => {
  await using guest = new TestGuest();
  expect(fence(guest, 3)).toMatchObject({ code: 0, stdout: '{"ended":0}\n' });
  expect(guest.start({ session: "sesn_1", process: "prc_1", generation: 2 }, ["cat"])).toMatchObject({
    code: 77,
    stderr: expect.stringMatching(/"stale_generation".*"generation":3/),
  });
  expect(fence(guest, 2)).toMatchObject({ code: 77, stdout: "" });
  expect(guest.start({ session: "sesn_2", process: "prc_2", generation: 1 }, ["cat"])).toMatchObject({ code: 0 });
  expect(guest.start({ session: "sesn_1", process: "prc_3", generation: 3 }, ["cat"])).toMatchObject({ code: 0 });
});

test("a stale generation removes and drops nothing", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const client = await guest.client();
  await client.started(["sh", "-c", "echo kept"]);
  await client.subscribe("prc_1");
  await client.waitFor("exit");
  fence(guest, 2);
  const stale = { ok: false, code: "stale_generation" };
  expect(await client.request({ type: "remove", processId: "prc_1", generation: 1 })).toMatchObject(stale);
  const committed = { type: "committed", processId: "prc_1", stdoutOffset: 5, stderrOffset: 0 } as const;
  expect(await client.request({ ...committed, generation: 1 })).toMatchObject(stale);
  expect(processOf(await guest.client(), "prc_1")?.exit).not.toBeNull();
});

test("the permission step of a stale generation does nothing", async () => {
  await using guest = new TestGuest();
  const volume = join(guest.folder, "volumes", "vo-1");
  mkdirSync(volume, { recursive: true });
  const mount = join(guest.folder, "mount");
  symlinkSync(volume, mount);
  const permissions = (generation: number) =>
    guest.run([
      ...["permissions", "--run-dir", guest.runDir, "--volume-root", join(guest.folder, "volumes")],
      ...["--session", "sesn_1", "--generation", String(generation), "--uid", "1000", "--gid", "1000", mount],
    ]);
  expect(permissions(5)).toMatchObject({ code: 0 });
  expect(permissions(4)).toMatchObject({ code: 77, stdout: "" });
});

test("what an earlier generation started beside the daemon is ended, whatever became of its parents", async () => {
  await using guest = new TestGuest();
  const mark = `syn_${process.pid}`;
  const other = spawn("sleep", ["600"], { env: { ...process.env, HOLDFAST_PROCESS: `${mark}x` } });
  const shell = spawn("sh", ["-c", "setsid sleep 600 & echo up; wait"], {
    env: { ...process.env, HOLDFAST_PROCESS: mark },
  });
  try {
    await once(shell.stdout, "data");
    const ended = fence(guest, 2, "--end", mark);
    expect(ended.code).toBe(0);
    expect((JSON.parse(ended.stdout) as { ended: number }).ended).toBeGreaterThanOrEqual(2);
    await until("the end", () => !isAlive(shell.pid ?? 0));
    expect(isAlive(other.pid ?? 0)).toBe(true);
    expect(fence(guest, 1, "--end", `${mark}x`).code).toBe(77);
    expect(isAlive(other.pid ?? 0)).toBe(true);
  } finally {
    other.kill("SIGKILL");
    shell.kill("SIGKILL");
  }
});
