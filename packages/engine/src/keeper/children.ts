import { readdirSync, readFileSync } from "node:fs";
import type { ExitStatus } from "../runtime/types.ts";
import { peekZombie, tryWait } from "./syscalls.ts";

/** What a process is called that the runtime forked but that never became a program: `crun`, `runc:[2:INIT]`. */
const RUNTIME_NAME = /^(crun|runc)/;

/**
 * The runtime starts a sandbox's processes and leaves; as subreaper the keeper becomes their parent and takes their
 * exit status. libuv waits only for pids it knows, so the two never take each other's.
 */
export class Children {
  readonly #waiting = new Map<number, (exit: ExitStatus) => void>();
  /** Pids that libuv waits for. */
  readonly #spawned: ReadonlySet<number>;
  readonly #warn: (message: string) => void;

  constructor(spawned: ReadonlySet<number>, warn: (message: string) => void) {
    this.#spawned = spawned;
    this.#warn = warn;
    process.on("SIGCHLD", () => this.#reap());
  }

  /** How many processes of sandboxes run. */
  get tracked(): number {
    return this.#waiting.size;
  }

  track(pid: number, onExit: (exit: ExitStatus) => void): void {
    this.#waiting.set(pid, onExit);
    this.#check(pid, onExit);
  }

  /**
   * Reaps what is left of runtimes at once: unreaped, it keeps a sandbox's init from ending. `all`: programs too whose
   * start was never reported, at the risk of taking the exit status of one that is just starting.
   */
  sweep(options: { all: boolean } = { all: false }): void {
    for (const entry of readdirSync("/proc")) {
      const pid = Number(entry);
      if (!Number.isInteger(pid) || this.#spawned.has(pid) || this.#waiting.has(pid)) continue;
      const name = zombieName(pid);
      if (name !== undefined && (options.all || RUNTIME_NAME.test(name))) tryWait(pid);
    }
    this.#reap();
  }

  #reap(): void {
    for (const [pid, onExit] of this.#waiting) this.#check(pid, onExit);
    // Runtimes leave helpers behind, even when all goes well. The kernel shows one zombie at a time: stop at one that is
    // libuv's, or a program that has just ended and is not tracked yet.
    for (let pid = peekZombie(); pid !== undefined; pid = peekZombie()) {
      if (this.#spawned.has(pid) || this.#waiting.has(pid)) return;
      const name = zombieName(pid);
      if (name === undefined || !RUNTIME_NAME.test(name)) return;
      tryWait(pid);
    }
  }

  #check(pid: number, onExit: (exit: ExitStatus) => void): void {
    const exit = tryWait(pid);
    if (exit === undefined) return;
    this.#waiting.delete(pid);
    try {
      onExit(exit === "gone" ? { signal: 9 } : exit);
    } catch (error) {
      // One process's end must not keep us from the others'.
      this.#warn(`The end of process ${pid} was taken, but not all that follows from it: ${String(error)}`);
    }
  }
}

/** The name of a child of ours that waits to be reaped; undefined for every other process. */
function zombieName(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state !== "Z" || Number(parent) !== process.pid) return undefined;
    return stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
  } catch {
    // It ended between readdir and read: not a zombie any more.
    return undefined;
  }
}
