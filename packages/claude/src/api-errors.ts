import type { NewEvent } from "@holdfast/protocol";

type SessionErrorEvent = Extract<NewEvent, { type: "session.error" }>;
type ErrorType = SessionErrorEvent["error"]["type"];

interface Verdict {
  readonly type: ErrorType;
  readonly retry: "exhausted" | "terminal";
  readonly remedy: string;
}

const failed = (remedy: string, retry: Verdict["retry"] = "terminal"): Verdict => ({
  type: "model_request_failed_error",
  retry,
  remedy,
});

const overloaded: Verdict = {
  type: "model_overloaded_error",
  retry: "exhausted",
  remedy: "The model's servers are busy. Send the message again in a few minutes.",
};

/** The CLI's error names (`assistant.error`). */
const verdicts = new Map<string, Verdict>([
  ["authentication_failed", failed("Check the Anthropic API key in the settings, then send the message again.")],
  [
    "billing_error",
    {
      type: "billing_error",
      retry: "terminal",
      remedy: "Check the balance and billing of the Anthropic account that the API key belongs to.",
    },
  ],
  [
    "rate_limit",
    {
      type: "model_rate_limited_error",
      retry: "exhausted",
      remedy: "Wait a minute, then send the message again; the Anthropic console shows the limits.",
    },
  ],
  ["overloaded", overloaded],
  ["invalid_request", failed("The model's API refused the request. Start a new session if this happens again.")],
  ["model_not_found", failed("Choose a model that the API key may use.")],
  ["max_output_tokens", failed("The answer became too long. Ask for it in smaller parts.")],
  ["server_error", failed("The connection to the model broke. Send the message again.", "exhausted")],
]);

const tooLong = failed("The conversation no longer fits the model. Send /compact, or start a new session.");
const unknown = failed("Send the message again; if it fails again, start a new session.", "exhausted");

/** A failed model call as Managed Agents tells it. */
export function apiErrorEvent(name: string, message: string, status: number | undefined): SessionErrorEvent {
  const isTooLong = /^(Prompt is too long|Request too large)/.test(message);
  if (isTooLong) return errorEvent("prompt_too_long", message, tooLong);
  const verdict = status === 529 ? overloaded : (verdicts.get(name) ?? unknown);
  return errorEvent(name, message, verdict);
}

function errorEvent(code: string, message: string, verdict: Verdict): SessionErrorEvent {
  return {
    type: "session.error",
    error: { type: verdict.type, message, retry_status: { type: verdict.retry } },
    holdfast: { code, remedy: verdict.remedy },
  };
}
