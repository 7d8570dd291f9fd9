import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestEngine, testEngine } from "./_engine.ts";

const MiB = 1024 * 1024;
const many = "seq 1 700000";
const whole = Array.from({ length: 700_000 }, (_, n) => `${n + 1}\n`).join("");

describe("output over its budget, as the SDK sees it", () => {
  let t: TestEngine;
  beforeAll(async () => {
    t = await testEngine({ output: { sandboxBytes: 2 * MiB, accountBytes: 32 * MiB, execRetentionMs: 1_000 } });
  });
  afterAll(() => t[Symbol.asyncDispose]());

  it("is the newest part of an exec that nobody read, and all of one that is read as it comes", async () => {
    const sandbox = await t.create();
    const unread = await sandbox.exec(["sh", "-c", many]);
    expect(await unread.wait()).toBe(0);
    const text = await unread.stdout.readText();
    expect(text.length).toBeGreaterThan(1.8 * MiB);
    expect(text.length).toBeLessThanOrEqual(2 * MiB);
    expect(whole.endsWith(text)).toBe(true);
    // Each piece is printed when the one before was read.
    const process = await sandbox.exec(["sh", "-c", "while read -r n; do seq $((n + 1)) $((n + 100000)); done"]);
    let got = "";
    const writer = process.stdin.getWriter();
    const next = (n: number) => writer.write(`${n}\n`);
    await next(0);
    for await (const piece of process.stdout) {
      got += piece;
      for (let n = 100_000; n <= 600_000; n += 100_000) {
        if (got.endsWith(`\n${n}\n`)) await next(n);
      }
      if (got.endsWith("\n700000\n")) await writer.close();
    }
    expect(got === whole).toBe(true);
  });

  it("of the sandbox itself is its newest part, for each client", async () => {
    const sandbox = await t.create({ command: ["sh", "-c", `${many}; echo main ends`] });
    await sandbox.wait();
    const again = await t.modal.sandboxes.fromId(sandbox.sandboxId);
    for (const client of [sandbox, again]) {
      const text = await client.stdout.readText();
      expect(text.length).toBeGreaterThan(1.8 * MiB);
      expect(`${whole}main ends\n`.endsWith(text)).toBe(true);
    }
  });

  it("of an exec whose exit was read long ago is gone, and says so", async () => {
    const sandbox = await t.create();
    const process = await sandbox.exec(["sh", "-c", "echo early"]);
    expect(await process.wait()).toBe(0);
    const kept = () => readdirSync(join(t.dataDir, "runtime/sandboxes", sandbox.sandboxId, "execs"));
    await expect.poll(kept).toEqual(["main"]);
    await expect(process.stdout.readText()).rejects.toThrow(/[Nn]ot found|no exec/);
  });
});
