import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";

/** An answer in Anthropic's error shape. */
export interface AnthropicError {
  readonly status: number;
  readonly type:
    | "invalid_request_error"
    | "authentication_error"
    | "permission_error"
    | "not_found_error"
    | "request_too_large"
    | "api_error"
    | "overloaded_error";
  readonly message: string;
  /** Tells Anthropic's clients not to try again: the same request cannot succeed. */
  readonly final?: boolean;
}

export function sendError(res: ServerResponse, error: AnthropicError): void {
  if (res.headersSent) {
    // The answer has begun: a cut connection is the only honest sign left.
    res.destroy();
    return;
  }
  const requestId = `req_gw_${randomBytes(10).toString("hex")}`;
  const body = { type: "error", error: { type: error.type, message: error.message }, request_id: requestId };
  res.writeHead(error.status, {
    "content-type": "application/json",
    "request-id": requestId,
    ...(error.final ? { "x-should-retry": "false" } : {}),
  });
  res.end(JSON.stringify(body));
}

export function sendJson(res: ServerResponse, status: number, body: object): void {
  res.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  res.end(JSON.stringify(body));
}
