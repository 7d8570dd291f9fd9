import { controlErrorResponse, type Signal } from "@holdfast/claude";
import { TurnFailure } from "./failure.ts";

/** What is said at once to a request of the CLI, so that it never waits for an answer that nobody can give. */
export function answerTo(signal: Signal): string | undefined {
  if (signal.type === "control_request") {
    return controlErrorResponse(signal.requestId, `Holdfast does not serve ${signal.subtype}`);
  }
  return undefined;
}

export function interruptedByRestart(why: string): TurnFailure {
  return new TurnFailure("turn_interrupted", { detail: `The turn was cut off by a restart of the server: ${why}` });
}
