import { closeSync, fsyncSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type Examined, examine } from "./examine.ts";
import { type MemoryPlace, mendPlaces, putAside, transcriptFiles, transcriptFolder } from "./places.ts";

export interface MemoryReport extends Examined {
  /** What stood in Claude Code's way: put aside, or made readable. */
  mended: string[];
}

/** What Claude Code has of a conversation. `ids`: of rows that it must have. Run it as Claude's user. */
export function lookAtMemory(place: MemoryPlace, ids: readonly string[]): MemoryReport {
  const mended = mendPlaces(place);
  const [file] = transcriptFiles(place);
  if (file === undefined) return { state: "missing", detail: null, mended };
  return { ...examine(file, ids), mended };
}

/**
 * Puts what is read from `input` in the place of whatever Claude Code has of the conversation, which is put aside.
 * Without any input there is nothing in that place afterwards: the conversation can begin anew.
 */
export function replaceMemory(place: MemoryPlace, input: number): { bytes: number } {
  mendPlaces(place);
  const folder = transcriptFolder(place);
  const next = join(folder, `${place.conversation}.unfinished`);
  rmSync(next, { recursive: true, force: true });
  const bytes = copy(input, next);
  for (const file of transcriptFiles(place)) putAside(file);
  if (bytes > 0) renameSync(next, join(folder, `${place.conversation}.jsonl`));
  else rmSync(next);
  return { bytes };
}

function copy(input: number, path: string): number {
  const output = openSync(path, "wx", 0o600);
  const chunk = Buffer.alloc(1024 * 1024);
  let bytes = 0;
  try {
    for (let count = readSync(input, chunk); count > 0; count = readSync(input, chunk)) {
      for (let at = 0; at < count; ) at += writeSync(output, chunk, at, count - at);
      bytes += count;
    }
    fsyncSync(output);
  } finally {
    closeSync(output);
  }
  return bytes;
}
