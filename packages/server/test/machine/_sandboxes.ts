import { guestBundlePath, guestStaleExit } from "@holdfast/guest";
import type {
  ExecOptions,
  RunningExec,
  SandboxHandle,
  SandboxProvider,
  SandboxSpec,
} from "../../src/ports/sandbox-provider.ts";
import { untilAbort } from "../_local-exec.ts";
import type { ClaudeNotes } from "./_claude-notes.ts";
import { Connection, MemoryGuest, Refusal } from "./_guest.ts";
import { type Delays, Pipe } from "./_pipes.ts";
import type { Random } from "./_random.ts";
import type { Life } from "./_time.ts";

const never = () => new Promise<never>(() => undefined);

/** What the next command in a sandbox does in place of what it should. */
export type ExecFault = "permissions fail" | "permissions fail once" | "start fails" | "create fails";

/** One sandbox, which outlives the servers. */
export class MemorySandbox {
  readonly id: string;
  readonly spec: SandboxSpec;
  readonly guest: MemoryGuest;
  readonly ended = Promise.withResolvers<string | undefined>();
  isRunning = true;

  constructor(id: string, spec: SandboxSpec, guest: MemoryGuest) {
    this.id = id;
    this.spec = spec;
    this.guest = guest;
  }

  end(why?: string): void {
    if (!this.isRunning) return;
    this.isRunning = false;
    for (const { claude } of this.guest.running()) claude.ended = true;
    this.guest.isRunning = false;
    this.guest.cut();
    this.ended.resolve(why);
  }
}

/** All sandboxes of a run. */
export class MemorySandboxes {
  readonly all: MemorySandbox[] = [];
  readonly faults = new Set<ExecFault>();
  readonly notes: ClaudeNotes;
  readonly #random: Random;
  readonly delays: Delays;

  constructor(parts: { notes: ClaudeNotes; random: Random; delays: Delays }) {
    this.notes = parts.notes;
    this.#random = parts.random;
    this.delays = parts.delays;
  }

  /** The one that runs. */
  get current(): MemorySandbox | undefined {
    return this.all.findLast(({ isRunning }) => isRunning);
  }

  running(): MemorySandbox[] {
    return this.all.filter(({ isRunning }) => isRunning);
  }

  make(spec: SandboxSpec): MemorySandbox {
    const sandbox = new MemorySandbox(`sb-${this.all.length}`, spec, new MemoryGuest(this.notes, this.#random));
    this.all.push(sandbox);
    return sandbox;
  }

  /** True once for a fault that was asked for. */
  strikes(fault: ExecFault): boolean {
    return this.faults.delete(fault);
  }
}

/** The provider as one server has it: to a dead one nothing answers. */
export class MemoryProvider implements SandboxProvider {
  readonly #sandboxes: MemorySandboxes;
  readonly #life: Life;

  constructor(sandboxes: MemorySandboxes, life: Life) {
    this.#sandboxes = sandboxes;
    this.#life = life;
  }

  async buildImage(): Promise<string> {
    return "im-1";
  }

  async create(spec: SandboxSpec): Promise<SandboxHandle> {
    await this.#way();
    if (this.#sandboxes.strikes("create fails")) throw new Error("no room, as the test has it");
    const sandbox = this.#sandboxes.make(spec);
    await this.#way();
    return this.#handle(sandbox);
  }

  async find(tags: Readonly<Record<string, string>>): Promise<SandboxHandle[]> {
    await this.#way();
    return this.#sandboxes
      .running()
      .filter(({ spec }) => Object.entries(tags).every(([name, value]) => spec.tags[name] === value))
      .map((sandbox) => this.#handle(sandbox));
  }

  async tags({ id }: SandboxHandle): Promise<Record<string, string>> {
    await this.#way();
    return { ...this.#sandboxes.all.find((each) => each.id === id)?.spec.tags };
  }

  async look(id: string): Promise<"running" | "ended" | "missing"> {
    const found = this.#sandboxes.all.find((each) => each.id === id);
    return found === undefined ? "missing" : found.isRunning ? "running" : "ended";
  }

  async deleteVolume(): Promise<void> {}

  async ping(): Promise<void> {}

  async #way(): Promise<void> {
    if (!this.#life.alive) await never();
    await this.#sandboxes.delays.wait();
    if (!this.#life.alive) await never();
  }

  #handle(sandbox: MemorySandbox): SandboxHandle {
    return {
      id: sandbox.id,
      exec: (args, options) => this.#exec(sandbox, args, options),
      waitEnd: (signal) => untilAbort(sandbox.ended.promise, signal),
      isRunning: async () => sandbox.isRunning,
      terminate: async () => {
        await this.#way();
        sandbox.end();
      },
      detach: () => undefined,
    };
  }

  async #exec(sandbox: MemorySandbox, args: readonly string[], { signal }: ExecOptions): Promise<RunningExec> {
    signal.throwIfAborted();
    await untilAbort(this.#way(), signal);
    if (!sandbox.isRunning) throw Object.assign(new Error(`${sandbox.id} has ended`), { name: "NotFoundError" });
    if (args[0] === "socat") return this.#attach(sandbox.guest);
    const done = untilAbort(
      this.#way().then(() => this.#command(sandbox, args)),
      sandbox.isRunning ? signal : AbortSignal.abort(),
    );
    done.catch(() => undefined);
    return finished(done);
  }

  #attach(guest: MemoryGuest): RunningExec {
    if (!guest.isRunning) return finished(Promise.resolve({ code: 1, stdout: "", stderr: "socat: no guest answers" }));
    const out = new Pipe();
    const life = this.#life;
    const connection = new Connection(guest, { out, lane: this.#sandboxes.delays.lane(), life });
    return {
      write: async (bytes) => {
        if (!life.alive) await never();
        if (connection.isClosed) throw new Error("the exec has ended");
        connection.receive(bytes);
      },
      closeStdin: async () => connection.close(),
      stdout: out,
      stderr: none(),
      wait: () => Promise.resolve(0),
    };
  }

  #command({ guest, isRunning }: MemorySandbox, args: readonly string[]): Ended {
    if (!isRunning) return { code: 137, stdout: "", stderr: "" };
    if (args.includes("memory")) return this.#memory(args);
    if (args[1] !== guestBundlePath) return { code: 0, stdout: "", stderr: "" };
    const ids = {
      sessionId: after(args, "--session"),
      processId: after(args, "--process"),
      generation: Number(after(args, "--generation")),
    };
    const faults = this.#sandboxes;
    try {
      guest.wake();
      if (args[2] === "start") {
        if (faults.strikes("start fails")) return { code: 1, stdout: "", stderr: "no start, as the test has it" };
        guest.start({ ...ids, argv: args.slice(args.indexOf("--") + 1) });
      } else {
        guest.fence(ids.sessionId, ids.generation);
        if (args[2] === "permissions" && faults.strikes("permissions fail once"))
          return { code: 75, stdout: "", stderr: "busy" };
        if (args[2] === "permissions" && faults.strikes("permissions fail"))
          return { code: 1, stdout: "", stderr: "no" };
      }
      return { code: 0, stdout: "", stderr: "" };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const code = error.code === "stale_generation" ? guestStaleExit : 1;
      return { code, stdout: "", stderr: JSON.stringify({ code: error.code, ...error.facts }) };
    }
  }

  #memory(args: readonly string[]): Ended {
    const conversation = after(args, "--conversation");
    const { conversations } = this.#sandboxes.notes;
    // What is written anew holds something.
    if (args.includes("replace")) conversations.set(conversation, new Set(["rebuilt"]));
    const state = (conversations.get(conversation)?.size ?? 0) > 0 ? "whole" : "missing";
    return { code: 0, stdout: JSON.stringify({ state, detail: null, mended: [] }), stderr: "" };
  }
}

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

const after = (args: readonly string[], name: string) => args[args.indexOf(name) + 1] ?? "";

async function* none(): AsyncGenerator<Uint8Array> {}

async function* text(of: Promise<string>): AsyncGenerator<Uint8Array> {
  const said = await of;
  if (said !== "") yield Buffer.from(said);
}

function finished(done: Promise<Ended>): RunningExec {
  return {
    write: async () => undefined,
    closeStdin: async () => undefined,
    stdout: text(done.then(({ stdout }) => stdout)),
    stderr: text(done.then(({ stderr }) => stderr)),
    wait: () => done.then(({ code }) => code),
  };
}
