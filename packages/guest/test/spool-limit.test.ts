import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isAlive, TestGuest, until } from "./_guest.ts";

const limit = 20_000_000;
const size = 60_000_000;

function spooled(guest: TestGuest): number {
  const folder = join(guest.runDir, "spool/prc_1");
  const files = readdirSync(folder).filter((name) => name.startsWith("stdout."));
  return files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

test("a process waits while too much of its output is uncommitted, and loses nothing", async () => {
  await using guest = new TestGuest();
  await guest.daemon({ args: ["--spool-limit", String(limit)] });
  const client = await guest.client();
  // It ends while its last output still lies in the pipe.
  const pid = await client.started(["sh", "-c", `yes 0123456789abcdef | head -c ${size}; echo end >&2; exit 7`]);
  await client.subscribe("prc_1");
  for (let committed = 0; committed + limit < size; committed += limit) {
    await client.waitBytes("prc_1", committed + limit);
    // It stands still now: what is in the pipe and one read more is all that comes.
    await client.request({ type: "ping" });
    expect(spooled(guest)).toBeLessThan(limit + 9_000_000 + 256 * 1024);
    expect(isAlive(pid)).toBe(true);
    const offsets = { stdoutOffset: committed + limit, stderrOffset: 0 };
    await client.request({ type: "committed", processId: "prc_1", generation: 1, ...offsets });
  }
  await client.waitBytes("prc_1", size);
  await client.request({ type: "committed", processId: "prc_1", generation: 1, stdoutOffset: size, stderrOffset: 0 });
  expect(await client.waitFor("exit")).toMatchObject({ code: 7, stdoutBytes: size, stderrBytes: 4 });
  const expected = Buffer.alloc(size, "0123456789abcdef\n");
  expect(Buffer.concat(client.output.get("prc_1/stdout") ?? []).equals(expected)).toBe(true);
});

test("one that waits for room can still be killed, and its exit comes when there is room", async () => {
  await using guest = new TestGuest();
  await guest.daemon({ args: ["--spool-limit", "1000000"] });
  const client = await guest.client();
  const pid = await client.started(["sh", "-c", "trap '' PIPE; yes 0123456789abcdef"]);
  await client.subscribe("prc_1");
  await client.waitBytes("prc_1", 1_000_000);
  await client.request({ type: "signal", processId: "prc_1", generation: 1, signal: "SIGKILL", group: true });
  await until("its end", () => !isAlive(pid));
  const committed = () => client.bytes.get("prc_1/stdout") ?? 0;
  const tell = () =>
    client.request({
      ...{ type: "committed", processId: "prc_1", generation: 1, stderrOffset: 0 },
      stdoutOffset: committed(),
    });
  await tell();
  expect(await client.waitFor("exit")).toMatchObject({ signal: "SIGKILL" });
});
