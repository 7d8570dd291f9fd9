import { isAppError } from "@holdfast/protocol";
import type { SandboxImage } from "../sandboxes/image.ts";
import { type LiveSandbox, SandboxGoneError } from "../sandboxes/live-sandbox.ts";
import { Step } from "../sessions/steps.ts";
import type { Workspace } from "../workspaces/workspace-rows.ts";
import { MachineFailure } from "./failure.ts";
import type { MachineDeps, Told } from "./machine-deps.ts";

export interface EnsureInput extends Told {
  environmentId: string;
}

/** The workspace's sandbox, with the image and itself told as steps where they take time. */
export async function ensureSandbox(
  deps: Pick<MachineDeps, "environments" | "sandboxes">,
  workspace: Workspace,
  { environmentId, append, signal }: EnsureInput,
): Promise<LiveSandbox> {
  const { image, key } = await deps.environments.image(environmentId);
  const current = deps.sandboxes.current(workspace.id);
  if (current === undefined || (await isOther(current, key))) await showImage(image, { append, signal });
  let step: Step | undefined;
  try {
    const sandbox = await deps.sandboxes.ensure(workspace, {
      imageId: () => image.get(),
      environment: key,
      signal,
      onCreate: () => {
        step = Step.begin(append, "sandbox", "Starting the sandbox");
        // A failure to tell shows up when the step ends.
        step.running().catch(() => undefined);
      },
    });
    await step?.end("done");
    return sandbox;
  } catch (error) {
    if (signal.aborted) {
      await step?.end("skipped", { detail: "Stopped" });
      throw error;
    }
    await step?.end("failed", { detail: messageOf(error) });
    if (error instanceof MachineFailure || error instanceof SandboxGoneError || isAppError(error)) throw error;
    throw new MachineFailure("sandbox_unavailable", { detail: messageOf(error), cause: error });
  }
}

/** Whether it was made from another image, or could not be made. */
async function isOther(current: Promise<LiveSandbox>, environment: string): Promise<boolean> {
  const live = await current.catch(() => undefined);
  return live?.environment !== environment;
}

async function showImage(image: SandboxImage, { append, signal }: Told): Promise<void> {
  if (image.progress.state === "ready") return;
  const step = Step.begin(append, "image", "Building the sandbox image");
  const building = image.get(({ detail, done, total }) => {
    if (signal.aborted) return;
    const progress = { done, total, unit: "layers" };
    // A failure to tell shows up when the step ends.
    step.running({ ...(detail === null ? {} : { detail }), progress }).catch(() => undefined);
  });
  const stopped = Promise.withResolvers<never>();
  const onAbort = () => stopped.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([building, stopped.promise]);
    await step.end("done");
  } catch (error) {
    if (signal.aborted) await step.end("skipped", { detail: "Stopped; the image is still being built" });
    else await step.end("failed", { detail: messageOf(error) });
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    stopped.promise.catch(() => undefined);
    building.catch(() => undefined);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
