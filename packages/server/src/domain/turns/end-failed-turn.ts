import { sleep } from "@holdfast/std";
import { StaleGenerationError } from "../../ports/event-log.ts";
import { closeQuestions } from "../sessions/permissions.ts";
import { errorEvent, idleEvent, TurnStopped, toFailure } from "./failure.ts";
import { markMessage } from "./line-effects.ts";
import type { Session } from "./prepare.ts";
import type { Turn } from "./turn.ts";
import type { TurnDeps } from "./turn-deps.ts";

const retryMs = 2_000;

/**
 * Says why a turn ended, and makes the session idle again: the next message works. Waits for a full disk; rejects when
 * the lease is lost or the signal aborts. Without `turn` it was one that Claude had begun by itself.
 */
export async function endFailedTurn(
  { log, logger, clock }: TurnDeps,
  input: { session: Session; turn: Turn | undefined; error: unknown; signal: AbortSignal },
): Promise<void> {
  const { session, turn, error, signal } = input;
  const stopped = turn?.stopped === true || error instanceof TurnStopped;
  const failure = toFailure(error);
  if (!stopped) logger.warn({ err: error, session: session.id, code: failure.code }, "turn failed");
  const outcome = stopped ? "stopped" : failure.code === "turn_interrupted" ? "interrupted" : "failed";
  const events = stopped ? [idleEvent(outcome)] : [errorEvent(failure), idleEvent(outcome)];
  const storing = { patience: signal };
  for (;;) {
    try {
      await log.transact(async ({ tx, append }) => {
        const target = { sessionId: session.id, generation: session.generation };
        // Fenced first: whoever has lost the lease must close nothing.
        await append({ ...target, events: [] });
        const message = stopped ? "The turn was stopped" : failure.message;
        const closed = await closeQuestions(tx, session.id, { outcome: "expired", message, nowMs: clock.now() });
        await append({ ...target, events: [...closed, ...events], session: { status: "idle" } });
        if (turn !== undefined) await markMessage(tx, turn.messageId, "done");
      }, storing);
      break;
    } catch (cause) {
      if (cause instanceof StaleGenerationError) throw cause;
      logger.error({ err: cause, session: session.id }, "cannot store a turn's end; trying again");
      await sleep(retryMs, signal);
    }
  }
  log.clearDrafts(session.id);
  turn?.end({ kind: "done" });
}
