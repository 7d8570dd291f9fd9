import { chmodSync, closeSync, constants, fstatSync, openSync, readSync, statSync } from "node:fs";
import { errnoOf, messageOf } from "../failure.ts";

export type TranscriptState = "whole" | "missing" | "empty" | "damaged" | "unreadable" | "not_a_file";

export interface Examined {
  state: TranscriptState;
  /** What is wrong, for people. */
  detail: string | null;
}

/** One that is larger is taken for whole. */
const maxBytes = 512 * 1024 * 1024;
const chunkBytes = 4 * 1024 * 1024;

/**
 * Whether the CLI can read all of it: every row is JSON (a last one that was cut off aside), none hangs on a row that is
 * not there, and the rows of these ids are in it. What is damaged it reads as well, and says nothing of what is missing.
 */
export function examine(path: string, ids: readonly string[]): Examined {
  let descriptor: number;
  try {
    descriptor = openReadable(path);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT") return { state: "missing", detail: "it leads nowhere" };
    return { state: "unreadable", detail: messageOf(error) };
  }
  try {
    const found = fstatSync(descriptor);
    if (!found.isFile())
      return { state: "not_a_file", detail: `it is a ${found.isDirectory() ? "directory" : "device"}` };
    if (found.size === 0) return { state: "empty", detail: null };
    if (found.size > maxBytes) return { state: "whole", detail: null };
    return new Reading().run(descriptor, ids);
  } catch (error) {
    return { state: "unreadable", detail: messageOf(error) };
  } finally {
    closeSync(descriptor);
  }
}

/** Never waits, whatever lies there. The user's own file can be opened for the user. */
function openReadable(path: string): number {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
  try {
    return openSync(path, flags);
  } catch (error) {
    if (errnoOf(error) !== "EACCES") throw error;
    chmodSync(path, 0o600 | statSync(path).mode);
    return openSync(path, flags);
  }
}

class Reading {
  readonly #ids = new Set<string>();
  readonly #parents = new Set<string>();
  #said = 0;
  #bad = 0;

  run(descriptor: number, ids: readonly string[]): Examined {
    let rest: Buffer = Buffer.alloc(0);
    const chunk = Buffer.alloc(chunkBytes);
    for (;;) {
      const count = readSync(descriptor, chunk);
      if (count === 0) break;
      rest = this.#lines(Buffer.concat([rest, chunk.subarray(0, count)]));
    }
    // One that was cut off by the CLI's end: it goes on with a line of its own.
    if (rest.length > 0) this.#line(rest.toString(), { isLast: true });
    return this.#judge(ids);
  }

  #lines(bytes: Buffer): Buffer {
    let from = 0;
    for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, from)) {
      this.#line(bytes.toString("utf8", from, at), { isLast: false });
      from = at + 1;
    }
    return bytes.subarray(from);
  }

  #line(text: string, { isLast }: { isLast: boolean }): void {
    if (text.trim() === "") return;
    let row: Record<string, unknown>;
    try {
      row = JSON.parse(text) as Record<string, unknown>;
    } catch {
      if (!isLast) this.#bad++;
      return;
    }
    if (typeof row?.uuid !== "string" || row.isSidechain === true) return;
    this.#ids.add(row.uuid);
    if (row.type === "user" || row.type === "assistant") this.#said++;
    if (typeof row.parentUuid === "string") this.#parents.add(row.parentUuid);
  }

  #judge(ids: readonly string[]): Examined {
    const lost = [...this.#parents].filter((id) => !this.#ids.has(id)).length;
    const unknown = ids.filter((id) => !this.#ids.has(id)).length;
    const whats = [
      [this.#bad, "rows are not readable"],
      [lost, "rows are missing"],
      [unknown, "of the last answers are missing"],
    ].flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]));
    if (whats.length > 0) return { state: "damaged", detail: whats.join(", ") };
    return this.#said === 0 ? { state: "empty", detail: null } : { state: "whole", detail: null };
  }
}
