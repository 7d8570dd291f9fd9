import { guestBundlePath, guestStaleExit } from "@holdfast/guest";
import { StaleGenerationError } from "../../ports/event-log.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { runExec } from "../sandboxes/run-exec.ts";

interface Lease {
  id: string;
  generation: number;
}

const fenceTimeoutMs = 60_000;

/** How the guest is told who asks. */
export function leaseArgs({ id, generation }: Lease): string[] {
  return ["--session", id, "--generation", String(generation)];
}

/** Throws when the guest said that a newer lease has been there. */
export function checkStale(code: number | null, session: Lease): void {
  if (code === guestStaleExit) throw new StaleGenerationError(session.id, session.generation);
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
  checkStale(result.code, session);
  if (result.code !== 0)
    throw new Error(`the guest cannot be fenced: exit code ${result.code}: ${result.stderr.trim()}`);
}
