import { waitFor } from "@holdfast/std";
import type { Database } from "../../ports/database.ts";
import { TurnFailure } from "./failure.ts";
import type { HeldProcess } from "./held-process.ts";
import type { SessionDesk } from "./session-desk.ts";

/** It was told to end: nobody asks anything of it any more, also after a restart of ours. */
export async function markProcessEnding(desk: SessionDesk, processId: string): Promise<void> {
  await desk.store(async ({ tx, append }) => {
    await append({ ...desk.target, events: [] });
    const ending = { ending_at: desk.deps.clock.now() };
    await tx.updateTable("processes").set(ending).where("id", "=", processId).execute();
  });
}

export async function isEnding(db: Database, processId: string): Promise<boolean> {
  const row = await db.selectFrom("processes").select("ending_at").where("id", "=", processId).executeTakeFirst();
  return (row?.ending_at ?? null) !== null;
}

const byItselfMs = 5_000;
const killedMs = 10_000;

/** Resolves when its end is in the log. One that does not end by itself is killed; `kill`: at once. */
export async function untilEnded(
  desk: SessionDesk,
  { process }: HeldProcess,
  { kill, signal }: { kill: boolean; signal: AbortSignal },
): Promise<void> {
  // It has ended; what it said last is being stored.
  if (!process.alive) return await waitFor(process.exited, signal);
  if (!kill && (await within(process.exited, byItselfMs, signal))) return;
  signal.throwIfAborted();
  process.signal("SIGKILL", desk.soon()).catch((error) => desk.warn(error, "a process lives on"));
  if (await within(process.exited, killedMs, signal)) return;
  signal.throwIfAborted();
  throw new TurnFailure("sandbox_unavailable", { detail: "Claude Code of the turn before does not end" });
}

async function within(promise: Promise<void>, ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await waitFor(promise, AbortSignal.any([signal, AbortSignal.timeout(ms)]));
    return true;
  } catch {
    // Not in time; or the caller looks at its signal.
    return false;
  }
}
