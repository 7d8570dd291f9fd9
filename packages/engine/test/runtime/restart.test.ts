import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createRuntime } from "../../src/runtime/index.ts";
import { Machine, printSkipReason } from "./_machine.ts";

const signal = () => AbortSignal.timeout(20_000);

function keeperPid(machine: Machine): number {
  const ready = readFileSync("/proc/locks", "utf8");
  const inode = statSync(join(machine.stateDir, "keeper.lock")).ino;
  const line = ready.split("\n").find((lock) => lock.includes(`:${inode} `) && lock.includes("FLOCK"));
  return Number(line?.trim().split(/\s+/)[4]);
}

describe.skipIf(printSkipReason())("engine and keeper deaths", () => {
  let machine: Machine;

  beforeEach(async () => {
    machine = await Machine.start();
  });
  afterEach(() => machine[Symbol.asyncDispose]());

  it("a new engine finds sandboxes, running execs, their output, input and exit", async () => {
    const sandboxId = await machine.create();
    const execId = await machine.start(sandboxId, "echo before; read -r line; echo got $line; exit 3");
    await machine.readUntil(sandboxId, execId, "before");
    await machine.runtime.writeStdin({ sandboxId, execId, offset: 0, eof: false }, Buffer.from("he"));
    const pid = keeperPid(machine);
    const runtime = await machine.reopen();
    expect(keeperPid(machine)).toBe(pid);
    expect(await runtime.list()).toEqual([sandboxId]);
    expect(await runtime.state(sandboxId)).toEqual({ running: true });
    expect(await runtime.execState(sandboxId, execId)).toEqual({ stdinBytes: 2, stdinClosed: false });
    await runtime.writeStdin({ sandboxId, execId, offset: 0, eof: true }, Buffer.from("hello\n"));
    expect(await machine.finish(sandboxId, execId)).toEqual({
      stdout: "before\ngot hello\n",
      stderr: "",
      exit: { code: 3 },
    });
  });

  it("two engines at once see the same", async () => {
    const log = { info: () => undefined, warn: () => undefined };
    const other = await createRuntime({ stateDir: machine.stateDir, instance: machine.instance, log });
    const sandboxId = await machine.create();
    const execId = await machine.start(sandboxId, "sleep 0.2; echo done; exit 1");
    expect(await other.waitExec(sandboxId, execId, { signal: signal() })).toEqual({ code: 1 });
    await other[Symbol.asyncDispose]();
    expect(await machine.read(sandboxId, execId)).toBe("done\n");
  });

  it("a killed engine takes nothing with it", async () => {
    const sandbox = machine.spec();
    const exec = {
      sandboxId: sandbox.sandboxId,
      execId: randomUUID(),
      args: ["/bin/sh", "-c", "echo one; until [ -e /go ]; do sleep 0.02; done; seq 1 100000; exit 9"],
      env: { PATH: "/bin" },
      cwd: "/",
      stdout: "pipe",
      stderr: "pipe",
    };
    await machine.runtime[Symbol.asyncDispose]();
    const job = JSON.stringify({ stateDir: machine.stateDir, instance: machine.instance, sandbox, exec });
    const child = spawn(process.execPath, [join(import.meta.dirname, "_engine-child.ts"), job], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    await machine.reopen();
    await machine.run(sandbox.sandboxId, "touch /go");
    const done = await machine.finish(sandbox.sandboxId, exec.execId);
    expect(done.exit).toEqual({ code: 9 });
    expect(done.stdout.length).toBe("one\n".length + 588_895);
  });

  it("a killed keeper is replaced, its sandboxes are told lost and gone, their output stays", async () => {
    const sandboxId = await machine.create();
    const execId = await machine.start(sandboxId, "echo kept; sleep 1000");
    const ended = await machine.run(sandboxId, "echo early; exit 4");
    expect(ended.exit).toEqual({ code: 4 });
    await machine.readUntil(sandboxId, execId, "kept");
    const waiting = machine.runtime.waitSandbox(sandboxId, { signal: signal() });
    const waitingExec = machine.runtime.waitExec(sandboxId, execId, { signal: signal() });
    await machine.runtime.state(sandboxId);
    process.kill(keeperPid(machine), "SIGKILL");
    expect(await waiting).toEqual({ running: false, exit: { signal: 9, reason: "lost" } });
    expect(await waitingExec).toEqual({ signal: 9 });
    expect(await machine.read(sandboxId, execId)).toBe("kept\n");
    await expect(machine.start(sandboxId, "true")).rejects.toMatchObject({ code: "not_running" });
    const next = await machine.create();
    expect((await machine.run(next, "echo works; ps -o comm | grep -c '^sleep'")).stdout).toBe("works\n1\n");
    expect(existsSync(join(machine.stateDir, "sandboxes", sandboxId, "data"))).toBe(false);
    await machine.runtime.forget(sandboxId);
    expect(await machine.runtime.list()).toEqual([next]);
  });
});
