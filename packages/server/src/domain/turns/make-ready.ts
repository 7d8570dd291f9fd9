import { waitFor } from "@holdfast/std";
import { ensureSandbox } from "../machines/ensure-sandbox.ts";
import { fixPermissions } from "../machines/permission-step.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { insist } from "./insist.ts";
import type { SessionDesk } from "./session-desk.ts";

/** The sandbox of the session's workspace, told in its log where it takes time. */
export async function sandboxOf(desk: SessionDesk, signal: AbortSignal): Promise<LiveSandbox> {
  const { deps, session, workspace } = desk;
  const append = desk.append.bind(desk);
  return await waitFor(
    ensureSandbox(deps, workspace, { environmentId: session.environmentId, append, signal }),
    signal,
  );
}

/** The permission step, under the session's lease. */
export async function makeWritable(desk: SessionDesk, sandbox: LiveSandbox, signal: AbortSignal): Promise<void> {
  const { deps, session } = desk;
  const append = desk.append.bind(desk);
  const step = () => fixPermissions(deps, sandbox, { lease: session, append, signal });
  await waitFor(insist(deps, { session, sandbox, append }, step), signal);
}
