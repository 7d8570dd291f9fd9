import type { RuntimeErrorCode } from "../runtime/types.ts";

/** An error whose code and words travel to the engine and become a `RuntimeError` there. */
export class KeeperError extends Error {
  override name = "KeeperError";
  readonly code: RuntimeErrorCode;
  constructor(code: RuntimeErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** What a machine is short of, by the error with which a system call says so. */
const SHORT_OF: Record<string, string> = {
  ENOSPC: "its disk is full",
  EDQUOT: "its disk quota is used up",
  EMFILE: "the keeper has no file descriptor left",
  ENFILE: "it has no file descriptor left",
  EAGAIN: "it has no process left",
  ENOMEM: "it has no memory left",
};

/** A failure as the engine and its clients are told it. */
export function inWords(error: unknown, op: string): { code: RuntimeErrorCode; message: string } {
  if (error instanceof KeeperError) return { code: error.code, message: error.message };
  const errno = errnoOf(error);
  const short = errno === undefined ? undefined : SHORT_OF[errno];
  if (short === undefined) {
    return { code: "unavailable", message: error instanceof Error ? error.message : String(error) };
  }
  return {
    code: errno === "ENOSPC" || errno === "EDQUOT" ? "resource_exhausted" : "unavailable",
    message: `The machine cannot do this now (${op}): ${short}. Nothing of it was kept; try again later.`,
  };
}

function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}
