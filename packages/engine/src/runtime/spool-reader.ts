import type { ExecSnapshot } from "../keeper/protocol.ts";
import { SpoolFiles } from "./spool-files.ts";
import { RuntimeError } from "./types.ts";

export interface SpoolReaderOptions {
  /** Of the exec. */
  dir: string;
  fd: 1 | 2;
  /** As the files count. */
  offset: number;
  signal: AbortSignal;
  snapshot(): Promise<ExecSnapshot>;
  /** Resolves at the next change of the exec after the call, or when the signal aborts. */
  nextChange(signal: AbortSignal): Promise<void>;
  /** The output from the offset to this one was dropped before it was read. What it throws ends the reading. */
  onDropped(from: number, to: number): void;
}

/** Follows one output until its process has ended and all is read; ends early without error on abort. */
export async function* readSpool(options: SpoolReaderOptions): AsyncGenerator<Uint8Array> {
  const { signal, fd, dir, onDropped } = options;
  let { offset } = options;
  if (signal.aborted) return;
  let state = await options.snapshot();
  await using files = new SpoolFiles(dir, fd === 1 ? "stdout" : "stderr");
  while (!signal.aborted) {
    // Asked for before reading, so that no change between reading and waiting is missed.
    const waiting = new AbortController();
    const change = options.nextChange(AbortSignal.any([signal, waiting.signal]));
    try {
      for (;;) {
        const found = (await files.read(offset)) ?? nothingLeft(state, fd, offset);
        if (found === undefined) break;
        if ("start" in found) {
          onDropped(offset, found.start);
          offset = found.start;
          continue;
        }
        offset += found.bytes.length;
        yield found.bytes;
        if (signal.aborted) return;
      }
      if (state.exit !== undefined) return checkEnd(state, fd, offset);
      state = await options.snapshot();
      if (state.exit === undefined && totalOf(state, fd) <= offset) await change;
    } finally {
      waiting.abort();
      await change;
    }
    if (state.exit === undefined && !signal.aborted) state = await options.snapshot();
  }
}

/** Once it has ended, what is not in the files was dropped, all of it. */
function nothingLeft(state: ExecSnapshot, fd: 1 | 2, offset: number): { start: number } | undefined {
  const total = totalOf(state, fd);
  return state.exit !== undefined && offset < total ? { start: total } : undefined;
}

function totalOf(state: ExecSnapshot, fd: 1 | 2): number {
  return fd === 1 ? state.stdoutBytes : state.stderrBytes;
}

function checkEnd(state: ExecSnapshot, fd: 1 | 2, offset: number): void {
  const total = totalOf(state, fd);
  if (offset > total)
    throw new RuntimeError("offset_gap", `The output ends at byte ${total}; byte ${offset} was asked for.`);
  if (state.lostBytes > 0) {
    throw new RuntimeError(
      "resource_exhausted",
      `${state.lostBytes} bytes of output could not be kept: the disk is full or the output is over its limit.`,
    );
  }
}
