import { readdirSync, readFileSync } from "node:fs";
import type { ExitStatus } from "../runtime/types.ts";
import { tryWait } from "./syscalls.ts";

/** How long after a failed start its remains may still turn up. */
const SWEEP_WINDOW_MS = 2_000;
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
  #sweepUntil = 0;
  readonly #onSignal = () => this.#reap();

  constructor(spawned: ReadonlySet<number>) {
    this.#spawned = spawned;
    process.on("SIGCHLD", this.#onSignal);
  }

  track(pid: number, onExit: (exit: ExitStatus) => void): void {
    this.#waiting.set(pid, onExit);
    this.#check(pid, onExit);
  }

  /** After a failed start: what the runtime forked and forgot must be reaped, or the sandbox's init cannot end. */
  sweep(): void {
    this.#sweepUntil = performance.now() + SWEEP_WINDOW_MS;
    this.#reap();
  }

  #reap(): void {
    for (const [pid, onExit] of this.#waiting) this.#check(pid, onExit);
    if (performance.now() < this.#sweepUntil) this.#sweepZombies();
  }

  /** By name: a program that has just ended and is not tracked yet must keep its exit status. */
  #sweepZombies(): void {
    for (const entry of readdirSync("/proc")) {
      const pid = Number(entry);
      if (!Number.isInteger(pid) || this.#spawned.has(pid) || this.#waiting.has(pid)) continue;
      if (isRuntimeZombie(pid)) tryWait(pid);
    }
  }

  #check(pid: number, onExit: (exit: ExitStatus) => void): void {
    const exit = tryWait(pid);
    if (exit === undefined) return;
    this.#waiting.delete(pid);
    onExit(exit === "gone" ? { signal: 9 } : exit);
  }
}

function isRuntimeZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" && Number(parent) === process.pid && RUNTIME_NAME.test(name);
  } catch {
    // It ended between readdir and read: not a zombie any more.
    return false;
  }
}
