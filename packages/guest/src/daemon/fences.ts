import { closeSync, constants, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../failure.ts";

/** The highest generation seen per session, on disk: a server that lost its lease stays shut out after a restart too. */
export class Fences {
  readonly #folder: string;
  readonly #known = new Map<string, number>();

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /** 0 for a session never seen. */
  get(sessionId: string): number {
    const known = this.#known.get(sessionId);
    if (known !== undefined) return known;
    const stored = this.#load(sessionId);
    this.#known.set(sessionId, stored);
    return stored;
  }

  /** False when `generation` is lower than one seen before. A higher one is stored before this returns. */
  admit(sessionId: string, generation: number): boolean {
    const highest = this.get(sessionId);
    if (generation < highest) return false;
    if (generation > highest) {
      this.#store(sessionId, generation);
      this.#known.set(sessionId, generation);
    }
    return true;
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
