import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HOST_ID_BASE, keeperPid, Machine, printSkipReason } from "./_machine.ts";

const MiB = 1024 * 1024;
const sandboxBytes = 8 * MiB;
const accountBytes = 12 * MiB;
const execRetentionMs = 700;
const signal = () => AbortSignal.timeout(20_000);

function outputFiles(machine: Machine, sandboxId?: string): string[] {
  const root = join(machine.stateDir, "sandboxes");
  const dirs = sandboxId === undefined ? readdirSync(root) : [sandboxId];
  return dirs.flatMap((dir) => {
    const execs = join(root, dir, "execs");
    return readdirSync(execs, { recursive: true, encoding: "utf8" })
      .filter((file) => /\/(stdout|stderr)/.test(file))
      .map((file) => join(execs, file));
  });
}

function outputBytes(machine: Machine, sandboxId?: string): number {
  return outputFiles(machine, sandboxId).reduce((sum, file) => sum + sizeOf(file), 0);
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

describe.skipIf(printSkipReason())("the output of many execs", () => {
  let machine: Machine;
  beforeAll(async () => {
    machine = await Machine.start({ output: { sandboxBytes, accountBytes, execRetentionMs } });
  });
  afterAll(() => machine[Symbol.asyncDispose]());

  const flood = (bytes: number) => `yes 0123456789abcdef | head -c ${bytes}`;

  it("of one sandbox stays below its budget, of one account below the account's, and costs no other account a byte", {
    timeout: 90_000,
  }, async () => {
    const [first, second, third] = [await machine.create(), await machine.create(), await machine.create()];
    const neighbour = await machine.create({ hostIdBase: HOST_ID_BASE + 65_536 });
    const quiet = await machine.start(neighbour, "seq 1 300000; until [ -e /go ]; do sleep 0.05; done; seq 1 300000");
    let most = 0;
    let mostAccount = 0;
    let running = true;
    const watching = (async () => {
      for (; running; await new Promise((resolve) => setTimeout(resolve, 25))) {
        most = Math.max(most, outputBytes(machine, first));
        mostAccount = Math.max(
          mostAccount,
          [first, second, third].reduce((sum, id) => sum + outputBytes(machine, id), 0),
        );
      }
    })();
    for (let round = 0; round < 3; round++) {
      const execs = await Promise.all(
        [first, second, third].map(async (id) => [id, await machine.start(id, flood(15 * MiB))] as const),
      );
      for (const [id, execId] of execs) {
        // Nobody reads and nothing waits: a full budget neither blocks the process nor kills it.
        expect(await machine.runtime.waitExec(id, execId, { signal: signal() })).toEqual({ code: 0 });
      }
    }
    await machine.run(neighbour, "touch /go");
    running = false;
    await watching;
    expect(most).toBeGreaterThan(sandboxBytes / 3);
    // A chunk is written before older ones go, and files are looked at one after the other.
    expect(most).toBeLessThanOrEqual(sandboxBytes + MiB);
    expect(mostAccount).toBeLessThanOrEqual(accountBytes + MiB);
    expect([first, second, third].reduce((sum, id) => sum + outputBytes(machine, id), 0)).toBeLessThanOrEqual(
      accountBytes,
    );
    const complete = await machine.finish(neighbour, quiet);
    const once = Array.from({ length: 300_000 }, (_, n) => `${n + 1}\n`).join("");
    expect(complete.exit).toEqual({ code: 0 });
    expect(complete.stdout === once + once).toBe(true);
    for (const id of [first, second, third]) await machine.runtime.forget(id);
  });

  it("keeps the newest part of what nobody read, and a client reads on where it was", async () => {
    const sandboxId = await machine.create();
    const execId = await machine.start(sandboxId, "seq 1 4000000; echo end");
    await machine.runtime.waitExec(sandboxId, execId, { signal: signal() });
    let skipped = 0;
    const chunks: Uint8Array[] = [];
    const target = { sandboxId, execId, fd: 1 as const, offset: 0 };
    const onSkipped = (bytes: number) => {
      skipped = bytes;
    };
    for await (const chunk of machine.runtime.readOutput(target, { signal: signal(), onSkipped })) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    expect(skipped + text.length).toBe(30_888_896 + "end\n".length);
    expect(text.length).toBeGreaterThan(0.9 * sandboxBytes);
    expect(text.endsWith("3999999\n4000000\nend\n")).toBe(true);
    expect((await machine.read(sandboxId, execId, 1, text.length - 12)) === "4000000\nend\n").toBe(true);
    // The engine's death changes nothing of that count.
    await machine.reopen();
    expect(await machine.read(sandboxId, execId, 1, text.length - 4)).toBe("end\n");
    await machine.runtime.forget(sandboxId);
  });

  it("leaves no file, no descriptor and no memory of execs whose exit was read", async () => {
    const sandboxId = await machine.create();
    const pid = keeperPid(machine);
    const execsDir = join(machine.stateDir, "sandboxes", sandboxId, "execs");
    const count = () => ({ fds: readdirSync(`/proc/${pid}/fd`).length, dirs: readdirSync(execsDir) });
    await machine.run(sandboxId, "true");
    const before = count().fds;
    let last = "";
    for (let round = 0; round < 10; round++) {
      const ids = await Promise.all(
        Array.from({ length: 10 }, () => machine.start(sandboxId, "echo out; echo err >&2")),
      );
      for (const execId of ids) {
        await machine.finish(sandboxId, execId);
        await machine.runtime.exitRead(sandboxId, execId);
        last = execId;
      }
    }
    const unread = await machine.start(sandboxId, "echo unread");
    await machine.runtime.waitExec(sandboxId, unread, { signal: signal() });
    await expect.poll(() => count().dirs.length, { timeout: 20_000 }).toBeLessThanOrEqual(3);
    await expect.poll(() => count().fds, { timeout: 20_000 }).toBeLessThanOrEqual(before);
    await expect(machine.runtime.execState(sandboxId, last)).rejects.toMatchObject({ code: "not_found" });
    expect(await machine.read(sandboxId, unread)).toBe("unread\n");
    await machine.runtime.forget(sandboxId);
  });

  it("keeps an exec as long as somebody reads it, however slowly", async () => {
    const sandboxId = await machine.create();
    const execId = await machine.start(sandboxId, "seq 1 100000");
    await machine.runtime.waitExec(sandboxId, execId, { signal: signal() });
    await machine.runtime.exitRead(sandboxId, execId);
    const target = { sandboxId, execId, fd: 1 as const, offset: 0 };
    const reader = machine.runtime.readOutput(target, { signal: signal() })[Symbol.asyncIterator]();
    const got = [(await reader.next()).value as Uint8Array];
    const other = await machine.start(sandboxId, "true");
    await machine.runtime.waitExec(sandboxId, other, { signal: signal() });
    await machine.runtime.exitRead(sandboxId, other);
    // The other one, read at the same time and left, has gone.
    const gone = async () =>
      await machine.runtime.execState(sandboxId, other).then(
        () => false,
        () => true,
      );
    await expect.poll(gone, { timeout: 20_000 }).toBe(true);
    for (let next = await reader.next(); next.done !== true; next = await reader.next()) got.push(next.value);
    expect(Buffer.concat(got).length).toBe(588_895);
    await expect.poll(() => existsSync(join(machine.stateDir, "sandboxes", sandboxId, "execs", execId))).toBe(false);
    await machine.runtime.forget(sandboxId);
  });

  it("does not kill what a forgotten exec left running", async () => {
    const sandboxId = await machine.create();
    const script = "(until [ -e /go ]; do echo still here; sleep 0.02; done; echo done >/alive) & echo started";
    const execId = await machine.start(sandboxId, script);
    expect((await machine.finish(sandboxId, execId)).stdout).toContain("started\n");
    await machine.runtime.exitRead(sandboxId, execId);
    const forgotten = async () =>
      await machine.runtime.execState(sandboxId, execId).then(
        () => false,
        () => true,
      );
    await expect.poll(forgotten, { timeout: 20_000 }).toBe(true);
    const alive = await machine.run(sandboxId, "touch /go; until [ -s /alive ]; do sleep 0.02; done; cat /alive");
    expect(alive.stdout).toBe("done\n");
    await machine.runtime.forget(sandboxId);
  });

  it("answers a start that is repeated after the end with the exec that was", async () => {
    const sandboxId = await machine.create();
    const execId = await machine.start(sandboxId, "echo once >>/log; cat /log");
    expect((await machine.finish(sandboxId, execId)).stdout).toBe("once\n");
    await machine.start(sandboxId, "echo once >>/log; cat /log", { execId });
    expect((await machine.run(sandboxId, "cat /log")).stdout).toBe("once\n");
    await machine.runtime.forget(sandboxId);
  });

  it("counts what an earlier keeper left, and lets a lost sandbox's output be read", async () => {
    const sandboxId = await machine.create();
    const execId = await machine.start(sandboxId, `${flood(5 * MiB)}; echo tail; exec sleep 1000`);
    await machine.readUntil(sandboxId, execId, "tail\n");
    process.kill(keeperPid(machine), "SIGKILL");
    expect(await machine.runtime.waitExec(sandboxId, execId, { signal: signal() })).toEqual({ signal: 9 });
    expect((await machine.read(sandboxId, execId)).endsWith("tail\n")).toBe(true);
    const next = await machine.create();
    const more = await machine.start(next, flood(15 * MiB));
    await machine.runtime.waitExec(next, more, { signal: signal() });
    const both = outputBytes(machine, sandboxId) + outputBytes(machine, next);
    expect(both).toBeLessThanOrEqual(accountBytes);
    expect(both).toBeGreaterThan(0.8 * accountBytes);
    for (const id of [sandboxId, next]) await machine.runtime.forget(id);
    expect(readFileSync(`/proc/${keeperPid(machine)}/comm`, "utf8")).not.toBe("");
  });
});
