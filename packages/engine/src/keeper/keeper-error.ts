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
