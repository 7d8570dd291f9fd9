import { type FileHandle, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { type OutputName, segmentFile, segmentStart } from "../keeper/paths.ts";

const CHUNK_BYTES = 256 * 1024;
/** How often a file may vanish between its listing and its opening: each time the keeper has dropped one more. */
const OPEN_ATTEMPTS = 100;

/** What lies at an offset of an output: bytes; nothing (yet); or nothing any more below `start`. */
export type Found = { bytes: Uint8Array } | { start: number } | undefined;

/**
 * The files of one output, as its keeper writes and drops them meanwhile. An open file stays readable to its end
 * although it was dropped.
 */
export class SpoolFiles implements AsyncDisposable {
  readonly #dir: string;
  readonly #name: OutputName;
  #open: { start: number; file: FileHandle } | undefined;

  constructor(dir: string, name: OutputName) {
    this.#dir = dir;
    this.#name = name;
  }

  async read(offset: number): Promise<Found> {
    const here = await this.#readOpen(offset);
    if (here !== undefined) return here;
    // At the end of a segment: the next one is named after this byte.
    if (await this.#openSegment(offset)) return (await this.#readOpen(offset)) ?? undefined;
    if (this.#open !== undefined && (await this.#isLast(this.#open.start))) return undefined;
    return await this.#search(offset);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.file.close();
  }

  async #readOpen(offset: number): Promise<{ bytes: Uint8Array } | undefined> {
    const open = this.#open;
    if (open === undefined || offset < open.start) return undefined;
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    const { bytesRead } = await open.file.read(buffer, 0, CHUNK_BYTES, offset - open.start);
    return bytesRead === 0 ? undefined : { bytes: buffer.subarray(0, bytesRead) };
  }

  /** For a reader that begins, or that was slower than what is dropped. */
  async #search(offset: number): Promise<Found> {
    for (let attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
      const starts = await this.#starts();
      const [first] = starts;
      if (first === undefined) return undefined;
      if (first > offset) return { start: first };
      const start = starts.findLast((each) => each <= offset) ?? first;
      if (await this.#openSegment(start)) return await this.#readOpen(offset);
    }
    return undefined;
  }

  async #isLast(start: number): Promise<boolean> {
    return (await this.#starts()).at(-1) === start;
  }

  async #starts(): Promise<number[]> {
    const files = await readdir(this.#dir).catch((error: unknown) => {
      // Forgotten just now: whoever asks the keeper next is told.
      if (isMissing(error)) return [];
      throw error;
    });
    const starts = files.map((file) => segmentStart(this.#name, file));
    return starts.filter((start) => start !== undefined).sort((a, b) => a - b);
  }

  async #openSegment(start: number): Promise<boolean> {
    if (this.#open?.start === start) return true;
    let file: FileHandle;
    try {
      file = await open(join(this.#dir, segmentFile(this.#name, start)), "r");
    } catch (error) {
      // Not there yet, or dropped just now.
      if (isMissing(error)) return false;
      throw error;
    }
    const before = this.#open;
    this.#open = { start, file };
    await before?.file.close();
    return true;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
