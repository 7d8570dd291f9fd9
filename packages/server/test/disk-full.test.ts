import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { testServer, userMessage } from "./_server.ts";

/** Writes until nothing more fits. */
function fill(path: string): void {
  const file = openSync(path, "w");
  for (const size of [64 * 1024, 512, 1]) {
    try {
      for (;;) writeSync(file, Buffer.alloc(size));
    } catch (error) {
      // Full, which is what is wanted.
      expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
    }
  }
  closeSync(file);
}

test.skipIf(process.getuid?.() !== 0)("a full disk is said, and what was stored is kept", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "holdfast-full-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "holdfast-server-test", dataDir]);
  try {
    await using it = await testServer({ dataDir });
    const { client, apiKey: key } = await it.account("tester");
    const { id } = await client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
    fill(join(dataDir, "ballast"));
    const text = "x".repeat(200_000);
    const send = () =>
      it.fetch(`/v1/sessions/${id}/events`, { key, method: "POST", body: JSON.stringify(userMessage(text)) });
    let refused = await send();
    // What the log file has room for still fits.
    for (let n = 0; n < 50 && refused.status === 200; n++) refused = await send();
    expect(refused.status).toBe(507);
    expect(await refused.json()).toMatchObject({ holdfast: { code: "disk_full" } });
    const before = await it.fetch(`/v1/sessions/${id}/events?limit=1000`, { key }).then((r) => r.text());
    rmSync(join(dataDir, "ballast"));
    expect((await send()).status).toBe(200);
    const after = await it.fetch(`/v1/sessions/${id}/events?limit=1000`, { key }).then((r) => r.text());
    const kept = (JSON.parse(before) as { data: unknown[] }).data;
    expect((JSON.parse(after) as { data: unknown[] }).data.slice(0, kept.length)).toEqual(kept);
  } finally {
    execFileSync("umount", [dataDir]);
    rmSync(dataDir, { recursive: true, force: true });
  }
});
