import { guestBundlePath } from "@holdfast/guest";
import { sleep } from "@holdfast/std";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { filesMount, homeDir, stateMount } from "../sandboxes/mounts.ts";
import { runExec } from "../sandboxes/run-exec.ts";
import { Step } from "../sessions/steps.ts";
import { MachineFailure } from "./failure.ts";
import { checkStale, type Lease, leaseArgs } from "./guest-fence.ts";
import type { MachineDeps, Told } from "./machine-deps.ts";

/** `EX_TEMPFAIL` of sysexits: the step itself says that it may work the next time. */
const transientExit = 75;
/** `EX_USAGE`. */
const usageExit = 64;
const attempts = 3;
const permissionTimeoutMs = 10 * 60 * 1000;

/**
 * Exec 1: root makes the real directories behind the mount points Claude's. Nothing else starts before it ended with 0.
 * Throws a `GuestStaleError` when the guest has seen a newer lease.
 */
export async function fixPermissions(
  { logger }: Pick<MachineDeps, "logger">,
  sandbox: LiveSandbox,
  { lease, append, signal }: Told & { lease: Lease },
): Promise<void> {
  const step = Step.begin(append, "permissions", "Making the workspace writable");
  const work = async () => {
    const args = permissionArgs(lease);
    const first = await attemptPermissions(sandbox, [...args, "--home", stateMount], signal);
    // The guest of a sandbox that an earlier version made knows of no HOME.
    const result = first.code === usageExit ? await attemptPermissions(sandbox, args, signal) : first;
    checkStale({ code: result.code, stderr: result.output }, lease);
    return result;
  };
  for (let attempt = 1; ; attempt++) {
    if (attempt === 1) await step.running({ attempt });
    const { code, output, stdout } = await work().catch(async (error: unknown) => {
      await step.end("skipped", { attempt, detail: "Stopped" });
      throw error;
    });
    logger.info({ for: lease.id, sandbox: sandbox.id, attempt, code, output }, "permission step");
    if (code === 0) return await endDone(step, attempt, stdout);
    const said = `Attempt ${attempt} of ${attempts}: ${code === null ? "" : `exit code ${code}: `}${output}`.trim();
    const transient = code === null || code === transientExit;
    if (!transient || attempt === attempts) {
      await step.end("failed", { attempt, detail: said });
      throw new MachineFailure("permissions_failed", {
        detail: `The permission step ended with ${code === null ? "an error" : `exit code ${code}`} after ${attempt} attempt${attempt === 1 ? "" : "s"}`,
        exitCode: code,
        output,
      });
    }
    await step.running({ attempt, detail: `${said}; trying again` });
    await sleep(200 * 2 ** attempt, signal);
  }
}

/** A HOME that could not be made, e.g. on a full disk, is said; Claude Code runs without. */
async function endDone(step: Step, attempt: number, stdout: string): Promise<void> {
  const reports = stdout.split("\n").filter((line) => line.startsWith('{"home"'));
  const { error = null } = JSON.parse(reports[0] ?? "{}") as { error?: string | null };
  if (error === null) return await step.end("done", { attempt });
  await step.end("warning", { attempt, detail: `HOME (${homeDir}) could not be made: ${error}` });
}

function permissionArgs(lease: Lease): string[] {
  const ids = ["--uid", "1000", "--gid", "1000", ...leaseArgs(lease)];
  return ["node", guestBundlePath, "permissions", ...ids, filesMount, stateMount];
}

/** `code` is null when the exec itself failed. */
async function attemptPermissions(sandbox: LiveSandbox, args: string[], signal: AbortSignal) {
  try {
    const both = AbortSignal.any([signal, sandbox.gone]);
    const result = await runExec(sandbox.handle, args, { timeoutMs: permissionTimeoutMs, signal: both });
    const output = `${result.stderr}${result.stderr === "" ? result.stdout : ""}`.trim();
    return { code: result.code, output: output.slice(-4_000), stdout: result.stdout };
  } catch (error) {
    if (signal.aborted || sandbox.gone.aborted) throw error;
    return { code: null, output: error instanceof Error ? error.message : String(error), stdout: "" };
  }
}
