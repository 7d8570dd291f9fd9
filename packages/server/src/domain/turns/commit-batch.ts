import { backgroundTasks, type MapperState } from "@holdfast/claude";
import type { Tx } from "../../ports/database.ts";
import type { EventLog } from "../../ports/event-log.ts";
import { packLines, storePacked } from "../raw/pack-lines.ts";
import type { LineBatch } from "./line-batch.ts";

/** Someone else has committed output of this process: whoever gets this must not go on. */
export class SpoolTakenError extends Error {
  override name = "SpoolTakenError";
}

export interface CommitInput {
  sessionId: string;
  processId: string;
  generation: number;
  batch: LineBatch;
  /** The codec's, after the batch. */
  mapper: MapperState;
  /** Up to where its standard output was committed before. */
  before: number;
  /** Up to where its output is, after this. */
  offsets: { stdout: number; stderr: number };
  /** The process has ended; nothing comes after this. */
  ended?: { exitCode: number | null };
  /** A database that is away is waited for until this aborts. */
  patience: AbortSignal;
}

/** One transaction: events, raw lines, what the codec remembers, and how far the spool was read. */
export async function commitBatch(log: EventLog, input: CommitInput): Promise<void> {
  const { sessionId, generation, batch, mapper, patience } = input;
  const packed = await packLines(batch.raw);
  await log.transact(
    async ({ tx, append, lock }) => {
      await lock(sessionId, generation);
      if (!(await moveOffsets(tx, input))) return;
      const more = await batch.more?.(tx);
      const session = { ...batch.session, ...more?.session, ...mapperColumns(mapper, sessionId) };
      await append({ sessionId, generation, events: [...batch.events, ...(more?.events ?? [])], session });
      if (packed !== undefined) await storePacked(tx, input, packed);
      await batch.also?.(tx);
    },
    { patience },
  );
}

/** What the codec remembers, and what of it others read. */
export function mapperColumns(mapper: MapperState, sessionId: string) {
  const tasks = backgroundTasks(mapper, sessionId);
  const todos = mapper.todos ?? [];
  return {
    mapper_json: JSON.stringify(mapper),
    background_json: tasks.length === 0 ? null : JSON.stringify(tasks),
    todos_json: todos.length === 0 ? null : JSON.stringify(todos),
  };
}

/**
 * Only from where we left them: no output counts twice, even if two should read the same spool. False when this batch
 * was committed before and the answer got lost.
 */
async function moveOffsets(tx: Tx, input: CommitInput): Promise<boolean> {
  const { processId, before, offsets, ended } = input;
  const { numUpdatedRows } = await tx
    .updateTable("processes")
    .set({
      stdout_offset: offsets.stdout,
      stderr_offset: offsets.stderr,
      ...(ended === undefined ? {} : { state: "ended" as const, exit_code: ended.exitCode }),
    })
    .where("id", "=", processId)
    .where("stdout_offset", "=", before)
    .where("state", "!=", "ended")
    .executeTakeFirst();
  if (numUpdatedRows === 1n) return true;
  const row = await tx
    .selectFrom("processes")
    .select(["stdout_offset", "state"])
    .where("id", "=", processId)
    .executeTakeFirst();
  const isDone = ended === undefined ? before !== offsets.stdout : row?.state === "ended";
  if (isDone && row?.stdout_offset === offsets.stdout) return false;
  throw new SpoolTakenError(`the output of ${processId} was read by someone else`);
}
