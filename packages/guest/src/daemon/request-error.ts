import type { GuestErrorCode } from "../frames.ts";

/** A request that is answered with `ok: false`. */
export class RequestError extends Error {
  readonly code: GuestErrorCode;
  constructor(code: GuestErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
