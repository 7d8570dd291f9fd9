import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../failure.ts";

/** A server that is so many sessions late has lost its lease long ago, and knows. */
const mostKept = 4_096;

/**
 * The highest generation seen per session, on disk: a server that lost its lease stays shut out after a restart too. Of
 * sessions without a process here the `most` that were last used are kept.
 */
export class Fences {
  readonly #folder: string;
  readonly #hasProcess: (sessionId: string) => boolean;
  readonly #most: number;
  /** Sessions with a file, the one that was used longest ago first; its generation once it was read. */
  readonly #known = new Map<string, number | undefined>();

  constructor(folder: string, options: { hasProcess: (sessionId: string) => boolean; most?: number }) {
    this.#folder = folder;
    this.#hasProcess = options.hasProcess;
    this.#most = options.most ?? mostKept;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const files = readdirSync(folder).map((name) => ({ name, atMs: statSync(join(folder, name)).mtimeMs }));
    for (const { name } of files.sort((a, b) => a.atMs - b.atMs)) this.#known.set(name, undefined);
  }

  /** 0 for a session never seen. */
  get(sessionId: string): number {
    const known = this.#known.get(sessionId);
    if (known !== undefined) return known;
    const stored = this.#load(sessionId);
    if (this.#known.has(sessionId)) this.#known.set(sessionId, stored);
    return stored;
  }

  /** False when `generation` is lower than one seen before. A higher one is stored before this returns. */
  admit(sessionId: string, generation: number): boolean {
    const highest = this.get(sessionId);
    if (generation < highest) return false;
    if (generation > highest) this.#store(sessionId, generation);
    if (generation === 0) return true;
    this.#known.delete(sessionId);
    this.#known.set(sessionId, generation);
    this.#dropOldest();
    return true;
  }

  #dropOldest(): void {
    if (this.#known.size <= this.#most) return;
    for (const sessionId of this.#known.keys()) {
      if (this.#hasProcess(sessionId)) continue;
      rmSync(join(this.#folder, sessionId), { force: true });
      this.#known.delete(sessionId);
      return;
    }
  }

  /** In place, in one write of a fixed size: a new server must be able to take over when the disk is full. */
  #store(sessionId: string, generation: number): void {
    const descriptor = openSync(join(this.#folder, sessionId), constants.O_WRONLY | constants.O_CREAT, 0o600);
    try {
      writeSync(descriptor, String(generation).padEnd(20, " "), 0);
    } finally {
      closeSync(descriptor);
    }
  }

  #load(sessionId: string): number {
    try {
      return Number.parseInt(readFileSync(join(this.#folder, sessionId), "utf8"), 10) || 0;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return 0;
      throw error;
    }
  }
}
