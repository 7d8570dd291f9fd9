import { type AppError, isAppError, type NewEvent, type ProblemCode, problems } from "@holdfast/protocol";
import { MachineFailure } from "../machines/failure.ts";
import { SandboxGoneError } from "../sandboxes/live-sandbox.ts";

/** A turn that cannot go on, with what its session's log says about it. */
export class TurnFailure extends Error {
  override name = "TurnFailure";
  readonly code: ProblemCode;
  readonly exitCode: number | null | undefined;
  readonly output: string | undefined;

  constructor(
    code: ProblemCode,
    options: { detail?: string; exitCode?: number | null; output?: string; cause?: unknown } = {},
  ) {
    super(options.detail ?? problems[code].title, { cause: options.cause });
    this.code = code;
    this.exitCode = options.exitCode;
    this.output = options.output;
  }
}

/** The reader stopped the turn. */
export class TurnStopped extends Error {
  override name = "TurnStopped";
}

/** E.g. its folder in the sandbox was removed. */
export function guestForgot(cause: unknown): TurnFailure {
  const detail = "The sandbox's guest knows nothing of Claude Code's process any more; all that is shown here is kept";
  return new TurnFailure("turn_interrupted", { detail, cause });
}

export function toFailure(error: unknown): TurnFailure {
  if (error instanceof TurnFailure) return error;
  if (error instanceof MachineFailure) {
    const { code, message: detail, exitCode, output } = error;
    const seen = output === undefined ? {} : { exitCode: exitCode ?? null, output };
    return new TurnFailure(code, { detail, ...seen, cause: error });
  }
  if (error instanceof SandboxGoneError) {
    return new TurnFailure("turn_interrupted", {
      detail: `The sandbox ended in the middle of the turn; the workspace and all that is shown here are kept${because(error)}`,
      cause: error,
    });
  }
  if (isAppError(error)) {
    const { code, message: detail, cause } = error as AppError;
    return new TurnFailure(code, { detail, cause });
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new TurnFailure("internal", { detail, cause: error });
}

/** Said where no turn runs: what else ran in it, started by one, is gone with it. */
export function sandboxEnded(error: SandboxGoneError): NewEvent {
  const text = `The sandbox ended, and what ran in it; the workspace is kept${because(error)}`;
  return { type: "holdfast.notice", kind: "sandbox_ended", level: "warning", text };
}

function because({ why }: SandboxGoneError): string {
  return why === undefined ? "" : `. ${why.replace(/\.$/, "")}`;
}

export function errorEvent({ code, message, exitCode, output }: TurnFailure): NewEvent {
  return {
    type: "session.error",
    error: { type: "unknown_error", message, retry_status: { type: "exhausted" } },
    holdfast: {
      code,
      remedy: problems[code].remedy,
      ...(exitCode === undefined ? {} : { exit_code: exitCode }),
      ...(output === undefined || output === "" ? {} : { output: output.slice(-8_000) }),
    },
  };
}

type Outcome = "completed" | "stopped" | "failed" | "interrupted" | "limit";

export function idleEvent(outcome: Outcome, options: { retriesExhausted?: boolean } = {}): NewEvent {
  return {
    type: "session.status_idle",
    stop_reason: { type: options.retriesExhausted === true ? "retries_exhausted" : "end_turn" },
    stop_details: null,
    holdfast: { outcome },
  };
}
