import type { AttachResult, ExecSnapshot, Request } from "../keeper/protocol.ts";
import { readSpool } from "./spool-reader.ts";
import { RuntimeError } from "./types.ts";

/**
 * What a client has been handed may still be under way: as much as the SDK's HTTP/2 window holds (64 MiB), twice over,
 * stays readable behind a reader.
 */
const WINDOW_BYTES = 128 * 1024 * 1024;
const ACKNOWLEDGE_EVERY_BYTES = 16 * 1024 * 1024;
/** Exec id of a sandbox's main process. Many clients may read its output, each from its own offset. */
const MAIN = "main";

export interface OutputSource {
  dir: string;
  retentionMs: number;
  snapshot(): Promise<ExecSnapshot>;
  nextChange(signal: AbortSignal): Promise<void>;
  /** Whether the keeper takes acknowledgements; those of the first release keep everything. */
  acknowledges(): Promise<boolean>;
  request<T>(request: Request): Promise<T>;
}

export interface OutputTarget {
  sandboxId: string;
  execId: string;
  fd: 1 | 2;
  offset: number;
}

/**
 * An output for one client, from its offset on. Of an exec, that offset says that the client has what is below; what was
 * dropped before anybody read is passed over, and what is dropped before a slow reader comes to it ends the reading with
 * an error.
 */
export async function* followOutput(
  source: OutputSource,
  target: OutputTarget,
  options: { signal: AbortSignal; onSkipped?: (bytes: number) => void },
): AsyncGenerator<Uint8Array> {
  const { signal, onSkipped } = options;
  if (signal.aborted) return;
  const { sandboxId, execId, fd } = target;
  const reports = execId !== MAIN && (await source.acknowledges());
  const acknowledge = (below?: number) => {
    source
      .request({ op: "acknowledge", sandboxId, execId, fd, ...(below === undefined ? {} : { below }) })
      .catch(() => {
        // A keeper that is gone has nothing to drop and nothing to forget; the reading itself finds out.
      });
  };
  const { base } = reports
    ? await source.request<AttachResult>({ op: "attach", sandboxId, execId, fd, offset: target.offset })
    : { base: 0 };
  if (base > 0 && target.offset === 0) onSkipped?.(base);
  let position = base + target.offset;
  let acknowledged = position;
  const still = reports ? setInterval(acknowledge, Math.min(source.retentionMs / 3, 60_000)) : undefined;
  still?.unref();
  let begun = false;
  try {
    const onDropped = (from: number, to: number) => {
      if (begun || execId !== MAIN) throw overtaken(execId, from - base, to - base);
      position = to;
      onSkipped?.(to - from);
    };
    for await (const bytes of readSpool({ ...source, fd, offset: position, signal, onDropped })) {
      begun = true;
      position += bytes.length;
      yield bytes;
      if (reports && position - WINDOW_BYTES - acknowledged >= ACKNOWLEDGE_EVERY_BYTES) {
        acknowledged = position - WINDOW_BYTES;
        acknowledge(acknowledged);
      }
    }
  } finally {
    clearInterval(still);
  }
}

/** Of the main process a client may ask again: it is told then where the output goes on. Of an exec it cannot be told. */
function overtaken(execId: string, from: number, to: number): RuntimeError {
  const code = execId === MAIN ? "unavailable" : "resource_exhausted";
  return new RuntimeError(
    code,
    `Bytes ${from} to ${to} of the output were dropped before they were read: the sandbox or its account has more unread output than is kept. Read faster, or write to a file.`,
  );
}
