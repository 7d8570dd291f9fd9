import { Status } from "nice-grpc";
import { EngineError } from "../../errors.ts";
import type { Runtime } from "../../runtime/types.ts";
import type { SandboxRecord } from "../sandbox/records.ts";
import type { Sandboxes } from "../sandbox/sandboxes.ts";

/**
 * What one account's input may take of the engine's memory while its processes do not read. A message of the SDK has
 * 100 MiB at most, and its client sends the next one when this one was taken.
 */
const accountWaitingBytes = 256 * 1024 * 1024;

export interface Input {
  /** Resolves when the process has taken most of it, or has ended while it did not. The signal: its client is gone. */
  write(
    target: { record: SandboxRecord; execId: string; offset: number; eof: boolean },
    data: Uint8Array,
    signal: AbortSignal,
  ): Promise<void>;
}

/** Standard input on its way from clients to processes: writes that wait are counted for each account. */
export function createInput(
  context: { runtime: Runtime; sandboxes: Sandboxes },
  limitBytes = accountWaitingBytes,
): Input {
  const waiting = new Map<string, number>();
  return {
    write: async ({ record, ...target }, data, signal) => {
      const account = record.spec.idOwner;
      const held = waiting.get(account) ?? 0;
      // One write alone is always taken.
      if (held > 0 && held + data.length > limitBytes) {
        throw new EngineError(
          Status.RESOURCE_EXHAUSTED,
          `${held} bytes of input wait already for processes of this account that do not read it; the limit is ${limitBytes}. Write less at once, or end the processes.`,
        );
      }
      waiting.set(account, held + data.length);
      context.sandboxes.idle(record.id)?.touched();
      try {
        await context.runtime.writeStdin({ ...target, sandboxId: record.id }, data, { signal });
      } finally {
        const left = (waiting.get(account) ?? 0) - data.length;
        if (left > 0) waiting.set(account, left);
        else waiting.delete(account);
      }
    },
  };
}
