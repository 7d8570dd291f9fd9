import { randomBytes } from "node:crypto";
import type { Sandbox } from "modal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run, sh, type TestEngine, testEngine } from "./_engine.ts";

describe("execs", () => {
  let t: TestEngine;
  let sandbox: Sandbox;
  beforeAll(async () => {
    t = await testEngine();
    sandbox = await t.create({ env: { OF_SANDBOX: "yes" }, timeoutMs: 600_000 });
  });
  afterAll(() => t[Symbol.asyncDispose]());

  it("runs as root with no_new_privs, separates stdout from stderr and reports the exit code", async () => {
    const output = await sh(sandbox, "id -u; grep NoNewPrivs /proc/self/status; echo wrong >&2; exit 3");
    expect(output).toEqual({ code: 3, stdout: "0\nNoNewPrivs:\t1\n", stderr: "wrong\n" });
  });

  it("reports death by a signal as 128 and its number", async () => {
    expect((await sh(sandbox, "kill -9 $$")).code).toBe(137);
    expect((await sh(sandbox, "kill -15 $$")).code).toBe(143);
  });

  it("gives secrets and environment to one exec only, and never to the sandbox", async () => {
    const secret = await t.modal.secrets.fromObject({ PASSWORD: "hunter2" });
    const given = await sh(sandbox, "echo $OF_SANDBOX $PASSWORD $EXTRA", { secrets: [secret], env: { EXTRA: "1" } });
    expect(given.stdout).toBe("yes hunter2 1\n");
    const without = await sh(sandbox, "env; tr '\\0' '\\n' < /proc/1/environ");
    expect(without.stdout).toContain("OF_SANDBOX=yes");
    expect(without.stdout).not.toContain("hunter2");
  });

  it("takes a named secret with the keys it must have", async () => {
    await expect(t.modal.secrets.fromName("absent")).rejects.toThrow("Secret 'absent' not found");
  });

  it("starts in the working directory it is given", async () => {
    expect((await sh(sandbox, "pwd", { workdir: "/var/lib" })).stdout).toBe("/var/lib\n");
  });

  it("passes arguments untouched", async () => {
    const args = ["a b", "$HOME", "'\"", "", "ümläut\n", "*"];
    const output = await run(sandbox, ["printf", "%s|", ...args]);
    expect(output.stdout).toBe(`${args.join("|")}|`);
  });

  it("says which command cannot be run", async () => {
    await expect(run(sandbox, ["no-such-command"])).rejects.toThrow(/no-such-command/);
  });

  it("feeds stdin in order until it is closed", async () => {
    const process = await sandbox.exec(["sh", "-c", "cat; echo end"]);
    await process.stdin.writeText("one ");
    await process.stdin.writeText("two\n");
    await process.stdin.close();
    expect(await process.stdout.readText()).toBe("one two\nend\n");
    expect(await process.wait()).toBe(0);
  });

  it("carries binary both ways, larger than every buffer on the way", async () => {
    const process = await sandbox.exec(["cat"], { mode: "binary" });
    const sent = randomBytes(6 * 1024 * 1024);
    const writing = process.stdin.writeBytes(sent).then(() => process.stdin.close());
    const received = Buffer.from(await process.stdout.readBytes());
    await writing;
    expect(received.equals(sent)).toBe(true);
  });

  it("keeps output until it is read, however late", async () => {
    const process = await sandbox.exec(["sh", "-c", "seq 1 200000"]);
    expect(await process.wait()).toBe(0);
    const text = await process.stdout.readText();
    expect(text.length).toBe(1_288_895);
    expect(text.endsWith("199999\n200000\n")).toBe(true);
  });

  it("kills an exec at its timeout", async () => {
    const process = await sandbox.exec(["sh", "-c", "echo started; sleep 1000"], { timeoutMs: 1000 });
    expect(await process.wait()).toBe(137);
  });

  it("runs with a terminal of 80 by 24, whose output is one stream", async () => {
    const process = await sandbox.exec(["sh", "-c", "tty; stty size; echo $TERM; echo oops >&2"], { pty: true });
    const text = await process.stdout.readText();
    expect(text).toBe("/dev/pts/0\r\n24 80\r\nxterm-256color\r\noops\r\n");
    expect(await process.stderr.readText()).toBe("");
    expect(await process.wait()).toBe(0);
  });

  it("runs many at once", async () => {
    const outputs = await Promise.all(Array.from({ length: 20 }, (_, index) => sh(sandbox, `echo ${index}`)));
    expect(outputs.map(({ stdout }) => stdout.trim())).toEqual(outputs.map((_, index) => `${index}`));
  });

  it("drops privileges through runuser and cannot get them back", async () => {
    const output = await sh(sandbox, "runuser -u nobody -- sh -c 'id -u; setpriv --reuid=0 true'");
    expect(output.stdout).toBe("65534\n");
    expect(output.code).not.toBe(0);
  });

  it("refuses a finished sandbox clearly", async () => {
    const gone = await t.create();
    await gone.terminate({ wait: true });
    const again = await t.modal.sandboxes.fromId(gone.sandboxId);
    await expect(again.exec(["true"])).rejects.toThrow(/finished/);
  });
});
