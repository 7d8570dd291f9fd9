import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { execPaths, type Layout, layoutOf } from "../../src/keeper/paths.ts";
import { RuntimeError } from "../../src/runtime/index.ts";
import { type FaultyKeeper, holdings, startFaultyKeeper } from "./_faults.ts";
import { HOST_ID_BASE, Machine, printSkipReason } from "./_machine.ts";

/**
 * Every call to the system that the keeper makes over a create, an exec and an end fails once. In the suite each with
 * one of its errors, in turn; with HOLDFAST_FAULTS=all with each of them.
 */
const picks = process.env.HOLDFAST_FAULTS === "all" ? [0, 1, 2, 3] : [undefined];
const wait = { timeout: 20_000, interval: 5 };
const soon = () => ({ signal: AbortSignal.timeout(20_000) });

describe.skipIf(printSkipReason())("a keeper in which each call to the system fails once", () => {
  let machine: Machine;
  let keeper: FaultyKeeper;
  let layout: Layout;
  let witness = "";
  let echo = "";
  let echoed = 0;
  let accounts = 0;

  beforeAll(async () => {
    machine = await Machine.start({
      before: async (stateDir, instance) => {
        keeper = await startFaultyKeeper(stateDir, instance);
        layout = layoutOf(stateDir, instance);
      },
    });
    witness = await machine.create();
    echo = await machine.start(witness, "cat");
    // Its output has a file, and the keeper a descriptor, from its first byte on.
    await witnessIsUnharmed();
  });
  afterAll(async () => {
    keeper.letGo();
    await machine[Symbol.asyncDispose]();
  });

  /** Another account's sandbox: lives, and its process answers. */
  async function witnessIsUnharmed(): Promise<void> {
    expect(await machine.runtime.state(witness)).toEqual({ running: true });
    const target = { sandboxId: witness, execId: echo };
    await machine.runtime.writeStdin({ ...target, offset: echoed, eof: false }, Buffer.from("."));
    echoed += 1;
    for await (const _ of machine.runtime.readOutput({ ...target, fd: 1, offset: echoed - 1 }, soon())) break;
  }

  interface Round<T> {
    /** With nothing failing. */
    prepare(): Promise<T>;
    /** With one call failing. */
    act(prepared: T): Promise<unknown>;
    /** With nothing failing any more: what `act` came to, whether it did what it was to do, and what is left of it. */
    check(prepared: T, outcome: { value?: unknown; error?: unknown }): Promise<void>;
  }

  /** One round for every call to the system that `act` makes, in which that call fails. Returns what failed. */
  async function atEachCall<T>(round: Round<T>): Promise<string[]> {
    const told: string[] = [];
    const before = await vi.waitFor(() => {
      const held = holdings(keeper.pid, layout);
      expect(JSON.stringify(held)).not.toMatch(/crun|zombie/);
      expect(held.trash).toEqual([]);
      return held;
    }, wait);
    for (const pick of picks) {
      for (let at = 0; ; at++) {
        const prepared = await round.prepare();
        await keeper.arm(at, pick ?? at);
        const outcome = await round.act(prepared).then(
          (value) => ({ value }),
          (error: unknown) => ({ error }),
        );
        const { failed } = await keeper.disarm();
        try {
          await round.check(prepared, outcome);
          await vi.waitFor(() => expect(holdings(keeper.pid, layout)).toEqual(before), wait);
          await witnessIsUnharmed();
          expect(keeper.lives).toBe(true);
        } catch (error) {
          throw new Error(`when call ${at} failed (${failed}): ${String(error)}`, { cause: error });
        }
        if (failed === undefined) break;
        told.push(failed);
      }
    }
    return told;
  }

  /** A refusal in words, with a code that says whether to try again. */
  function isInWords(error: unknown): void {
    expect(error).toBeInstanceOf(RuntimeError);
    expect((error as RuntimeError).message).not.toMatch(/\n|undefined/);
    expect((error as RuntimeError).message.length).toBeGreaterThan(10);
  }

  it("creates a whole sandbox or refuses in words and leaves nothing", { timeout: 600_000 }, async () => {
    const failures = await atEachCall({
      prepare: async () => ({
        sandboxId: `sb-${randomUUID().slice(0, 8)}`,
        files: [{ path: "/etc/hosts", content: "127.0.0.1 localhost\n" }],
        symlinks: [{ path: "/mnt/link", target: "/tmp" }],
        // Another account each time, whose namespaces are yet to be made.
        hostIdBase: HOST_ID_BASE + 65_536 * ++accounts,
      }),
      act: (changes) => machine.create(changes),
      check: async ({ sandboxId }, { error }) => {
        if (error === undefined) {
          expect((await machine.run(sandboxId, "cat /etc/hosts")).stdout).toBe("127.0.0.1 localhost\n");
          await machine.runtime.destroy(sandboxId, "terminated");
          await machine.runtime.forget(sandboxId);
        } else isInWords(error);
        expect(await machine.runtime.list()).not.toContain(sandboxId);
      },
    });
    expect(new Set(failures.map((text) => text.split(":")[0])).size).toBeGreaterThan(8);
  });

  describe.each([
    ["pipes", {}],
    ["a terminal", { pty: { rows: 24, cols: 80, term: "xterm" } }],
  ])("an exec with %s", (_, changes) => {
    it("runs or is refused in words, and its sandbox lives on", { timeout: 600_000 }, async () => {
      const sandboxId = await machine.create();
      const failures = await atEachCall({
        prepare: async () => randomUUID(),
        act: async (execId) => {
          await machine.start(sandboxId, "echo out; exit 3", { execId, ...changes });
          return await machine.runtime.waitExec(sandboxId, execId, soon());
        },
        check: async (_execId, { value, error }) => {
          if (error === undefined) expect(value).toEqual({ code: 3 });
          else isInWords(error);
          expect(await machine.runtime.state(sandboxId)).toEqual({ running: true });
          expect((await machine.run(sandboxId, "echo works; ps -o args | grep -c '[e]cho out'")).stdout).toBe(
            "works\n0\n",
          );
        },
      });
      expect(failures.length).toBeGreaterThan(10);
      await machine.runtime.forget(sandboxId);
    });
  });

  /** The first process inside, as the machine knows it. */
  function initOf(sandboxId: string): number {
    return Number(readFileSync(execPaths(layout, sandboxId, "main").pid, "utf8"));
  }

  const running = async () => {
    const sandboxId = await machine.create({
      args: ["/bin/sh", "-c", "until [ -e /end ]; do sleep 0.01; done; exit 7"],
    });
    const execId = await machine.start(sandboxId, "echo kept; sleep 1000");
    await machine.readUntil(sandboxId, execId, "kept");
    return { sandboxId, execId };
  };

  it("ends a sandbox that is terminated, says how, and leaves nothing", { timeout: 600_000 }, async () => {
    const failures = await atEachCall({
      prepare: running,
      act: ({ sandboxId }) => machine.runtime.destroy(sandboxId, "terminated"),
      check: async ({ sandboxId, execId }, { error }) => {
        expect(error).toBeUndefined();
        const exit = { signal: 9, reason: "terminated" };
        expect(await machine.runtime.state(sandboxId)).toEqual({ running: false, exit });
        expect(await machine.runtime.waitExec(sandboxId, execId, soon())).toEqual({ signal: 9 });
        expect(await machine.read(sandboxId, execId)).toBe("kept\n");
        await machine.runtime.forget(sandboxId);
      },
    });
    expect(failures.length).toBeGreaterThan(15);
  });

  it("says how a sandbox ended that ends by itself, and leaves nothing", { timeout: 600_000 }, async () => {
    const failures = await atEachCall({
      prepare: running,
      act: async ({ sandboxId }) => {
        // Not by an exec, whose own calls would be counted too.
        writeFileSync(`/proc/${initOf(sandboxId)}/root/end`, "");
        return await machine.runtime.waitSandbox(sandboxId, soon());
      },
      check: async ({ sandboxId, execId }, { value, error }) => {
        expect(error).toBeUndefined();
        expect(value).toEqual({ running: false, exit: { code: 7, reason: "exit" } });
        expect(await machine.runtime.waitExec(sandboxId, execId, soon())).toEqual({ signal: 9 });
        await machine.runtime.forget(sandboxId);
      },
    });
    expect(failures.length).toBeGreaterThan(15);
  });

  it("forgets a sandbox whatever fails", { timeout: 600_000 }, async () => {
    await atEachCall({
      prepare: async () => {
        const made = await running();
        await machine.runtime.destroy(made.sandboxId, "terminated");
        return made;
      },
      act: ({ sandboxId }) => machine.runtime.forget(sandboxId),
      check: async ({ sandboxId }, { error }) => {
        expect(error).toBeUndefined();
        expect(await machine.runtime.list()).not.toContain(sandboxId);
      },
    });
  });
});
