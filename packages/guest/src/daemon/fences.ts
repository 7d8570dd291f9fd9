import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
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
      const path = join(this.#folder, sessionId);
      writeFileSync(`${path}.new`, String(generation), { mode: 0o600 });
      renameSync(`${path}.new`, path);
      this.#known.set(sessionId, generation);
    }
    return true;
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
