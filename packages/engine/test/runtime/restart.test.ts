import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createRuntime } from "../../src/runtime/index.ts";
import { keeperPid, Machine, printSkipReason, traces } from "./_machine.ts";

const signal = () => AbortSignal.timeout(20_000);

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

  it("the keeper leaves when its state directory vanishes, and takes everything with it", async () => {
    const sandboxId = await machine.create();
    const pid = keeperPid(machine);
    await machine.runtime[Symbol.asyncDispose]();
    rmSync(machine.stateDir, { recursive: true, force: true });
    await vi.waitFor(() => expect(existsSync(`/proc/${pid}`)).toBe(false), { timeout: 15_000, interval: 100 });
    expect(traces(machine, sandboxId)).toEqual([]);
    expect(existsSync(`/run/holdfast-${machine.instance}`)).toBe(false);
    await machine.reopen();
    expect(await machine.runtime.list()).toEqual([]);
  });

  it("a destroy in the middle of a create wins", async () => {
    const sandboxId = "sb-hasty";
    const created = machine.create({ sandboxId });
    const seen = await vi.waitFor(() => machine.runtime.state(sandboxId), { timeout: 5_000, interval: 1 });
    expect(seen.exit).toBeUndefined();
    await machine.runtime.destroy(sandboxId, "terminated");
    await Promise.allSettled([created]);
    expect(traces(machine, sandboxId)).toEqual([]);
    expect(await machine.runtime.state(sandboxId)).toMatchObject({ running: false, exit: { reason: "terminated" } });
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
    // What the dead keeper was parent of is reaped by the machine's init, in its own time.
    await vi.waitFor(() => expect(traces(machine, sandboxId)).toEqual([]), { timeout: 10_000, interval: 20 });
    expect(await machine.read(sandboxId, execId)).toBe("kept\n");
    await expect(machine.start(sandboxId, "true")).rejects.toMatchObject({ code: "not_running" });
    const next = await machine.create();
    expect((await machine.run(next, "echo works; ps -o comm | grep -c '^sleep'")).stdout).toBe("works\n1\n");
    expect(existsSync(join(machine.stateDir, "sandboxes", sandboxId, "data"))).toBe(false);
    await machine.runtime.forget(sandboxId);
    expect(await machine.runtime.list()).toEqual([next]);
  });
});
