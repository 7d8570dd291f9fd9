import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmdirSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isAlive, processOf, TestGuest, until } from "./_guest.ts";

/** A small file system of its own, unmounted at the end. */
function smallDisk(sizeKb: number): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "guest-disk-"));
  const mount = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${sizeKb}k,mode=700`, "none", path]);
  if (mount.status !== 0) throw new Error(`cannot mount: ${mount.stderr}`);
  return {
    path,
    [Symbol.dispose]: () => {
      // Lazily: a process that has just ended may hold its last file for a moment.
      spawnSync("umount", ["-l", path]);
      rmdirSync(path);
    },
  };
}

test("a full disk stops the process, says so, keeps what there is, and the daemon goes on", async () => {
  using disk = smallDisk(1024);
  await using guest = new TestGuest(disk.path);
  await guest.daemon();
  const client = await guest.client();
  const pid = await client.started(["sh", "-c", "trap '' TERM; (yes 0123456789abcdef; sleep 1000) 2>/dev/null"]);
  await client.subscribe("prc_1");
  const failed = await client.waitFor("spool_failed");
  expect(failed.message).toMatch(/disk is full/);
  const exit = await client.waitFor("exit");
  expect(exit.stdoutBytes).toBeGreaterThan(500_000);
  expect(Buffer.concat(client.output.get("prc_1/stdout") ?? []).length).toBe(exit.stdoutBytes);
  await until("the end of the process", () => !isAlive(pid));
  // Another server can still take over.
  expect(await client.request({ type: "fence", sessionId: "sesn_1", generation: 7 })).toMatchObject({ ok: true });
  expect(await client.stdin("x", "line_1", { generation: 6 })).toMatchObject({ ok: false, code: "stale_generation" });
  // No room for anything new: said, and nothing half-made stays.
  await expect(client.started(["cat"], { process: "prc_2", session: "sesn_2" })).rejects.toThrow("spool_full");
  expect(readdirSync(join(disk.path, "spool"))).toEqual(["prc_1"]);
  const after = await guest.client();
  expect(processOf(after, "prc_1")?.exit).not.toBeNull();
  expect(await after.request({ type: "remove", processId: "prc_1", generation: 7 })).toMatchObject({ ok: true });
  await after.started(["cat"], { process: "prc_2", session: "sesn_2" });
});

test("a line that cannot be noted is not written", async () => {
  using disk = smallDisk(256);
  await using guest = new TestGuest(disk.path);
  await guest.daemon();
  const client = await guest.client();
  await client.started(["cat"]);
  await client.subscribe("prc_1");
  const filler = join(disk.path, "filler");
  spawnSync("sh", ["-c", `cat /dev/zero > ${filler}`]);
  expect(await client.stdin("lost?", "line_1")).toMatchObject({ ok: false, code: "spool_full" });
  unlinkSync(filler);
  expect(await client.stdin("kept", "line_1")).toMatchObject({ ok: true });
  expect(await client.waitText("prc_1", "\n")).toBe("kept\n");
  writeFileSync(filler, "");
});
