import { AppError, isAppError, type ProblemCode } from "@holdfast/protocol";
import { isAbort } from "@holdfast/std";
import { GuestError } from "../sandboxes/guest-link.ts";
import { SandboxGoneError } from "../sandboxes/live-sandbox.ts";

/** What the guest refuses with, in words that an account can use. */
const refusals: Record<string, ProblemCode> = {
  unknown_terminal: "terminal_not_found",
  terminal_ended: "terminal_ended",
  too_many_terminals: "too_many_terminals",
  spool_full: "terminal_failed",
  spawn_failed: "terminal_failed",
  bad_request: "request_invalid",
};

export function refusal(code: string, message: string): AppError {
  return new AppError(refusals[code] ?? "terminal_failed", { detail: message });
}

/** Throws it as what a client can be told. */
export function asProblem(error: unknown): never {
  if (isAppError(error)) throw error;
  if (error instanceof GuestError) throw refusal(error.code, error.message);
  if (error instanceof SandboxGoneError) {
    throw new AppError("sandbox_ended", { cause: error, ...(error.why === undefined ? {} : { detail: error.why }) });
  }
  if (isAbort(error)) throw error;
  const detail = `The sandbox cannot be reached: ${error instanceof Error ? error.message : String(error)}`;
  throw new AppError("sandbox_unavailable", { detail, cause: error });
}
