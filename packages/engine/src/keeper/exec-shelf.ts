/** An exec that has ended, with the output that is kept of it. */
export interface EndedExec {
  attach(fd: 1 | 2, offset: number): number;
  acknowledge(fd: 1 | 2, below: number): void;
  /** Its files are about to be removed. */
  forget(): void;
}

export interface ExecShelfOptions {
  /** How long an exec is kept after its exit was read and nobody was at it any more. */
  retentionMs(): number;
  /** Removes everything of it. */
  forget(execId: string, ended: EndedExec): void;
}

interface Kept {
  readonly ended: EndedExec;
  readonly endedMs: number;
  /** When a client got its exit. */
  readMs: number | undefined;
  /** When a client last read from it. */
  touchedMs: number;
}

/** More than so many ended execs of one sandbox are not kept, read or not: the oldest go. */
export const mostKept = 1_024;
/** As long a client may repeat the request that started it; until then it goes only beyond `mostEver`. */
const graceMs = 60_000;
const mostEver = 4 * mostKept;
const shortestTimerMs = 100;

/**
 * The ended execs of one sandbox. One whose exit was read is forgotten some minutes later; one that nobody asked for
 * stays as long as the sandbox does, unless too many came after it.
 */
export class ExecShelf {
  readonly #options: ExecShelfOptions;
  /** In the order of their ends. */
  readonly #kept = new Map<string, Kept>();
  #timer: NodeJS.Timeout | undefined;
  #timerMs = Number.POSITIVE_INFINITY;

  constructor(options: ExecShelfOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#kept.size;
  }

  get(execId: string): EndedExec | undefined {
    return this.#kept.get(execId)?.ended;
  }

  add(execId: string, ended: EndedExec): void {
    const now = performance.now();
    this.#kept.set(execId, { ended, endedMs: now, readMs: undefined, touchedMs: now });
    this.#makeRoom(now);
  }

  /** A client reads from it: it is kept while that goes on. */
  touch(execId: string): void {
    const kept = this.#kept.get(execId);
    if (kept !== undefined) kept.touchedMs = performance.now();
  }

  /** A client got its exit. */
  exitRead(execId: string): void {
    const kept = this.#kept.get(execId);
    if (kept === undefined) return;
    kept.readMs ??= performance.now();
    this.touch(execId);
    this.#wakeIn(this.#options.retentionMs());
  }

  /** Forgets all, as the sandbox is forgotten; removes no files. */
  clear(): void {
    clearTimeout(this.#timer);
    for (const { ended } of this.#kept.values()) ended.forget();
    this.#kept.clear();
  }

  #tidy(): void {
    this.#timer = undefined;
    this.#timerMs = Number.POSITIVE_INFINITY;
    const now = performance.now();
    const retentionMs = this.#options.retentionMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [execId, { readMs, touchedMs }] of this.#kept) {
      if (readMs === undefined) continue;
      const leftMs = Math.max(readMs, touchedMs) + retentionMs - now;
      if (leftMs <= 0) this.#forget(execId);
      else nextMs = Math.min(nextMs, leftMs);
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#wakeIn(nextMs);
  }

  #makeRoom(now: number): void {
    if (this.#kept.size <= mostKept) return;
    let oldest: string | undefined;
    for (const [execId, { endedMs, readMs }] of this.#kept) {
      if (now - endedMs < graceMs) break;
      oldest ??= execId;
      if (readMs === undefined) continue;
      oldest = execId;
      break;
    }
    if (oldest === undefined && this.#kept.size > mostEver) [oldest] = this.#kept.keys();
    if (oldest !== undefined) this.#forget(oldest);
  }

  #forget(execId: string): void {
    const ended = this.#kept.get(execId)?.ended;
    if (ended === undefined) return;
    this.#kept.delete(execId);
    ended.forget();
    this.#options.forget(execId, ended);
  }

  #wakeIn(ms: number): void {
    const waitMs = Math.max(Math.min(ms, 24 * 3_600_000), shortestTimerMs);
    const at = performance.now() + waitMs;
    if (at >= this.#timerMs) return;
    clearTimeout(this.#timer);
    this.#timerMs = at;
    this.#timer = setTimeout(() => this.#tidy(), waitMs);
    this.#timer.unref();
  }
}
