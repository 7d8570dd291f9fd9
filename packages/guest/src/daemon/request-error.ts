import type { GuestErrorCode, GuestMessage } from "../frames.ts";

type Refusal = Extract<GuestMessage, { type: "reply"; ok: false }>;

/** A request that is answered with `ok: false`. */
export class RequestError extends Error {
  override name = "RequestError";
  readonly code: GuestErrorCode;
  /** What the client can use of it. */
  readonly facts: Pick<Refusal, "spools" | "generation">;
  constructor(code: GuestErrorCode, message: string, facts: RequestError["facts"] = {}) {
    super(message);
    this.code = code;
    this.facts = facts;
  }
}
