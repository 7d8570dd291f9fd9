import { type GenericResult, ResultStatus } from "../../proto/messages.ts";
import type { SandboxState } from "../../runtime/types.ts";

export type EndReason = "terminated" | "timeout" | "idle";

/** How an end that was asked for looks on the wire. */
export const intended: Record<EndReason, GenericResult> = {
  terminated: { status: ResultStatus.terminated, exitcode: 137, exception: "" },
  timeout: { status: ResultStatus.timeout, exitcode: 124, exception: "Sandbox timed out" },
  idle: { status: ResultStatus.idleTimeout, exitcode: 124, exception: "Sandbox was idle for too long" },
};

/** How an end that nobody asked for looks on the wire. */
export function resultOf({ exit }: SandboxState): GenericResult {
  if (!exit || exit.reason === "lost") {
    return {
      status: ResultStatus.internalFailure,
      exitcode: 137,
      exception: "The sandbox was lost: its machine or the engine's keeper stopped while it ran",
    };
  }
  const exitcode = "code" in exit ? exit.code : 128 + exit.signal;
  if (exit.reason === "oom") {
    return { status: ResultStatus.failure, exitcode: 137, exception: "The sandbox ran out of memory" };
  }
  if (exit.reason === "disk" || exit.reason === "memory") {
    const exception = `The machine was out of ${exit.reason}, and of all accounts this one took most: the sandbox was ended so that others go on`;
    return { status: ResultStatus.failure, exitcode: 137, exception };
  }
  if (exit.reason === "terminated") return intended.terminated;
  return { status: exitcode === 0 ? ResultStatus.success : ResultStatus.failure, exitcode, exception: "" };
}
