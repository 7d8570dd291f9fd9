import { guestBundlePath, guestStaleExit } from "@holdfast/guest";
import { StaleGenerationError } from "../../ports/event-log.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { runExec } from "../sandboxes/run-exec.ts";

/** Whoever asks the guest for something that only one may do: a session, by its generation; the workspace itself has none. */
export interface Lease {
  id: string;
  generation: number;
}

const fenceTimeoutMs = 60_000;

/** How the guest is told who asks. */
export function leaseArgs({ id, generation }: Lease): string[] {
  return ["--session", id, "--generation", String(generation)];
}

/** It was the guest that said so. */
export class GuestStaleError extends StaleGenerationError {
  override name = "GuestStaleError";
  /** The highest generation that it has seen, where it told. */
  readonly highest: number | undefined;
  constructor(session: Lease, highest: number | undefined) {
    super(session.id, session.generation);
    this.highest = highest;
  }
}

/** Throws when the guest said, on standard error, that a newer lease has been there. */
export function checkStale({ code, stderr }: { code: number | null; stderr: string }, session: Lease): void {
  if (code !== guestStaleExit) return;
  const highest = /"code":"stale_generation".*"generation":(\d+)/.exec(stderr)?.[1];
  throw new GuestStaleError(session, highest === undefined ? undefined : Number(highest));
}

/**
 * Shuts out every earlier lease of the session in its sandbox; the guest keeps that on its disk. Then ends the processes
 * that carry one of the marks `end`: an earlier lease started them.
 */
export async function fenceGuest(
  session: Lease,
  { sandbox, end = [], signal }: { sandbox: LiveSandbox; end?: readonly string[]; signal: AbortSignal },
): Promise<void> {
  const marks = end.flatMap((mark) => ["--end", mark]);
  const result = await runExec(sandbox.handle, ["node", guestBundlePath, "fence", ...leaseArgs(session), ...marks], {
    timeoutMs: fenceTimeoutMs,
    signal: AbortSignal.any([signal, sandbox.gone]),
  });
  checkStale(result, session);
  if (result.code !== 0)
    throw new Error(`the guest cannot be fenced: exit code ${result.code}: ${result.stderr.trim()}`);
}
