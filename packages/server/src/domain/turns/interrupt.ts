import { randomUUID } from "node:crypto";
import { interruptRequest } from "@holdfast/claude";
import { sleep } from "@holdfast/std";
import type { Logger } from "pino";
import type { ClaudeProcess } from "./claude-process.ts";

/** A request first, then signals: over within two seconds. */
const steps = [
  { name: "SIGINT", afterMs: 1_200 },
  { name: "SIGKILL", afterMs: 400 },
] as const;

const pollMs = 25;

/** Asks Claude to stop its turn, then tells its processes to, then ends them. */
export async function interruptProcess(
  process: ClaudeProcess,
  { isOver, signal, logger }: { isOver: () => boolean; signal: AbortSignal; logger: Logger },
): Promise<void> {
  try {
    const asked = process.send(interruptRequest(randomUUID(), { cancelQueued: true }), randomUUID(), signal);
    asked.catch((error) => logger.warn({ err: error, process: process.processId }, "the interrupt was not taken"));
    for (const { name, afterMs } of steps) {
      for (let waitedMs = 0; waitedMs < afterMs && !isOver(); waitedMs += pollMs) await sleep(pollMs, signal);
      if (isOver() || !process.alive) return;
      logger.warn({ process: process.processId, signal: name }, "the turn does not stop; sending a signal");
      await process.signal(name, signal);
    }
  } catch (error) {
    if (!signal.aborted) logger.warn({ err: error, process: process.processId }, "the turn cannot be stopped");
  }
}
