import { AsyncLocalStorage } from "node:async_hooks";
import nodeCrypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import timersPromises from "node:timers/promises";
import zlib from "node:zlib";
import type { Random } from "./_random.ts";

/** One server's time in memory: what it began is not gone on with once it is dead. */
export interface Life {
  readonly number: number;
  alive: boolean;
}

/** Whose work is being done. */
export const lives = new AsyncLocalStorage<Life>();

interface Due {
  at: number;
  order: number;
  fire: () => void;
  /** Undefined: the world's own. */
  life: Life | undefined;
  everyMs?: number;
}

const realImmediate = setImmediate;
/** Where a run begins, by the wall clock. */
export const beginMs = Date.UTC(2026, 0, 1);

/**
 * The time of a run: it stands still until it is told to go on. While it is `installed`, the process's timers, clocks and
 * random ids are this one's, and work that Node does on other threads is done at once; so a run is the same every time.
 */
export class Time {
  now = 0;
  #order = 0;
  #due: Due[] = [];
  #immediates = 0;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Calls `fire` after `ms`, as the world would: no server's death takes it back. */
  later(ms: number, fire: () => void): () => void {
    const due = this.#add(ms, fire, undefined);
    return () => this.#remove(due);
  }

  /** Lets `ms` pass, with all that is due meanwhile. */
  async run(ms: number): Promise<void> {
    const end = this.now + ms;
    await this.settle();
    for (;;) {
      const next = this.#due[0];
      if (next === undefined || next.at > end) break;
      this.#due.shift();
      this.now = Math.max(this.now, next.at);
      if (next.life?.alive === false) continue;
      if (next.everyMs !== undefined) this.#insert({ ...next, at: this.now + next.everyMs, order: ++this.#order });
      next.fire();
      await this.settle();
    }
    this.now = end;
  }

  /** Resolves when all that can go on without time has gone on. */
  async settle(): Promise<void> {
    do await new Promise<void>((resolve) => realImmediate(resolve));
    while (this.#immediates > 0);
  }

  /** Until disposed of. */
  install(): Disposable {
    const stack = new DisposableStack();
    const put = <T extends object>(target: T, name: keyof T & string, value: unknown) => {
      const before = Object.getOwnPropertyDescriptor(target, name);
      Object.defineProperty(target, name, { value, configurable: true, writable: true });
      stack.defer(() => {
        if (before === undefined) Reflect.deleteProperty(target, name);
        else Object.defineProperty(target, name, before);
      });
    };
    put(globalThis, "setTimeout", (fire: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) =>
      this.#timer(ms, () => fire(...args)),
    );
    put(globalThis, "setInterval", (fire: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) =>
      this.#timer(ms, () => fire(...args), Math.max(1, ms)),
    );
    const clear = (timer: FakeTimer | undefined) => timer?.clear();
    put(globalThis, "clearTimeout", clear);
    put(globalThis, "clearInterval", clear);
    put(performance, "now", () => this.now);
    put(Date, "now", () => beginMs + Math.floor(this.now));
    put(AbortSignal, "timeout", (ms: number) => this.#timeoutSignal(ms));
    put(globalThis.crypto, "randomUUID", () => this.#random.uuid());
    put(globalThis.crypto, "getRandomValues", (bytes: Uint8Array) => bytes.map(() => this.#random.below(256)));
    put(nodeCrypto, "randomUUID", () => this.#random.uuid());
    put(timersPromises, "setImmediate", () => this.#immediate());
    syncBuiltinESMExports();
    stack.defer(() => syncBuiltinESMExports());
    return stack;
  }

  #immediate(): Promise<void> {
    this.#immediates++;
    return new Promise((resolve) =>
      realImmediate(() => {
        this.#immediates--;
        resolve();
      }),
    );
  }

  #timer(ms: number, fire: () => void, everyMs?: number): FakeTimer {
    const life = lives.getStore();
    const inLife = AsyncLocalStorage.bind(fire);
    return new FakeTimer(this.#add(ms, inLife, life, everyMs), (due) => this.#remove(due));
  }

  #timeoutSignal(ms: number): AbortSignal {
    const controller = new AbortController();
    this.#timer(ms, () =>
      controller.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError")),
    );
    return controller.signal;
  }

  #add(ms: number, fire: () => void, life: Life | undefined, everyMs?: number): Due {
    const at = this.now + Math.max(0, Number(ms) || 0);
    const due: Due = { at, order: ++this.#order, fire, life, ...(everyMs === undefined ? {} : { everyMs }) };
    this.#insert(due);
    return due;
  }

  #insert(due: Due): void {
    let index = this.#due.length;
    while (index > 0 && (this.#due[index - 1]?.at ?? 0) > due.at) index--;
    this.#due.splice(index, 0, due);
  }

  #remove(due: Due): void {
    // One that repeats is put in again under another order.
    this.#due = this.#due.filter((each) => each.fire !== due.fire);
  }
}

/** As much of Node's timer as is used. */
class FakeTimer implements Disposable {
  readonly #due: Due;
  readonly #remove: (due: Due) => void;

  constructor(due: Due, remove: (due: Due) => void) {
    this.#due = due;
    this.#remove = remove;
  }

  clear(): void {
    this.#remove(this.#due);
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

/** What Node does on other threads would come at any time: here at once. To be done before anything takes it. */
function atOnce(): void {
  const now =
    (work: (bytes: Uint8Array) => Uint8Array) =>
    (bytes: Uint8Array, done: (error: Error | null, result: Uint8Array) => void) =>
      queueMicrotask(() => done(null, work(bytes)));
  Object.assign(zlib, { zstdCompress: now(zlib.zstdCompressSync), zstdDecompress: now(zlib.zstdDecompressSync) });
  syncBuiltinESMExports();
}
atOnce();
