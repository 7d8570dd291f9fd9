import type { GuestErrorCode, SpoolRange } from "../frames.ts";

/** A request that is answered with `ok: false`. */
export class RequestError extends Error {
  readonly code: GuestErrorCode;
  readonly spools: { stdout: SpoolRange; stderr: SpoolRange } | undefined;
  constructor(code: GuestErrorCode, message: string, spools?: { stdout: SpoolRange; stderr: SpoolRange }) {
    super(message);
    this.code = code;
    this.spools = spools;
  }
}
