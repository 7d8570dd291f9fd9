import { open } from "node:fs/promises";
import type { ExecSnapshot } from "../keeper/protocol.ts";
import { RuntimeError } from "./types.ts";

const CHUNK_BYTES = 256 * 1024;

export interface SpoolReaderOptions {
  path: string;
  fd: 1 | 2;
  offset: number;
  signal: AbortSignal;
  snapshot(): Promise<ExecSnapshot>;
  /** Resolves at the next change of the exec after the call, or when the signal aborts. */
  nextChange(signal: AbortSignal): Promise<void>;
}

/** Follows one spool file until its process has ended and all is read; ends early without error on abort. */
export async function* readSpool(options: SpoolReaderOptions): AsyncGenerator<Uint8Array> {
  const { signal, fd } = options;
  let { offset } = options;
  if (signal.aborted) return;
  let state = await options.snapshot();
  await using file = await open(options.path, "r");
  while (!signal.aborted) {
    // Asked for before reading, so that no change between reading and waiting is missed.
    const waiting = new AbortController();
    const change = options.nextChange(AbortSignal.any([signal, waiting.signal]));
    try {
      for (;;) {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, offset);
        if (bytesRead === 0) break;
        offset += bytesRead;
        yield buffer.subarray(0, bytesRead);
        if (signal.aborted) return;
      }
      if (state.exit !== undefined) return checkEnd(state, fd, offset);
      state = await options.snapshot();
      const known = fd === 1 ? state.stdoutBytes : state.stderrBytes;
      if (state.exit === undefined && known <= offset) await change;
    } finally {
      waiting.abort();
      await change;
    }
    if (state.exit === undefined && !signal.aborted) state = await options.snapshot();
  }
}

function checkEnd(state: ExecSnapshot, fd: 1 | 2, offset: number): void {
  const total = fd === 1 ? state.stdoutBytes : state.stderrBytes;
  if (offset > total)
    throw new RuntimeError("offset_gap", `The output ends at byte ${total}; byte ${offset} was asked for.`);
  if (state.lostBytes > 0) {
    throw new RuntimeError(
      "resource_exhausted",
      `${state.lostBytes} bytes of output could not be kept: the disk is full or the output is over its limit.`,
    );
  }
}
