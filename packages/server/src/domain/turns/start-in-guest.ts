import { sleep } from "@holdfast/std";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { type ExecResult, runExec } from "../sandboxes/run-exec.ts";
import { tidyGuest } from "../sandboxes/tidy-guest.ts";
import type { TurnDeps } from "./turn-deps.ts";

const startTimeoutMs = 60 * 1000;
const attempts = 5;

/** The guest's `start`. A process of this session that nobody speaks to any more is put out of the way first. */
export async function startInGuest(
  { db, logger }: TurnDeps,
  sandbox: LiveSandbox,
  { args, secrets, signal }: { args: readonly string[]; secrets: Record<string, string>; signal: AbortSignal },
): Promise<ExecResult> {
  for (let attempt = 1; ; attempt++) {
    const result = await runExec(sandbox.handle, args, { secrets, timeoutMs: startTimeoutMs, signal });
    if (!result.stderr.includes('"already_running"') || attempt === attempts) return result;
    await using link = await sandbox.ownLink(signal);
    await tidyGuest(db, link, logger);
    await sleep(100, signal);
  }
}
