import { setTimeout as delay } from "node:timers/promises";
import { inBackground } from "@holdfast/std";

/** One act of an ending. Safe to repeat: what it finds done already is no error. */
export interface EndingStep {
  /** Completes "Sandbox x: … failed". */
  name: string;
  run(): unknown;
}

/** A machine that is short of something for a moment is given this long, in all less than a second. */
const PAUSES_MS = [5, 20, 100, 400];
const LATER_MS = 10_000;

/**
 * Runs each step whatever becomes of the others, first all in their order, then those that failed again. Resolves with
 * those that failed to the last; never rejects.
 */
export async function runSteps(steps: EndingStep[], tell: (message: string) => void): Promise<EndingStep[]> {
  let failed = await attempt(steps, (step, error) => tell(`${step} failed and is tried again: ${String(error)}`));
  for (const [index, pauseMs] of PAUSES_MS.entries()) {
    if (failed.length === 0) return [];
    await delay(pauseMs);
    const last = index === PAUSES_MS.length - 1;
    failed = await attempt(failed, (step, error) => last && tell(`${step} still fails: ${String(error)}`));
  }
  return failed;
}

async function attempt(steps: EndingStep[], tell: (step: string, error: unknown) => unknown): Promise<EndingStep[]> {
  const failed: EndingStep[] = [];
  for (const step of steps) {
    try {
      await step.run();
    } catch (error) {
      failed.push(step);
      tell(step.name, error);
    }
  }
  return failed;
}

/** What endings could not do: tried again until it is done. */
export class Leftovers {
  readonly #steps = new Map<string, EndingStep[]>();
  readonly #warn: (message: string) => void;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();

  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /** How many sandboxes have left something. */
  get size(): number {
    return this.#steps.size;
  }

  /** Runs the steps now; what fails stays for later. */
  async run(id: string, steps: EndingStep[]): Promise<void> {
    const failed = await runSteps(steps, (message) => this.#warn(`Sandbox ${id}: ${message}`));
    if (failed.length > 0) this.#add(id, failed);
  }

  /** Tries once all that is left, now. */
  again(): Promise<void> {
    this.#round = this.#round.then(() => this.#again());
    return this.#round;
  }

  #add(id: string, steps: EndingStep[]): void {
    const known = this.#steps.get(id) ?? [];
    const names = new Set(known.map(({ name }) => name));
    this.#steps.set(id, [...known, ...steps.filter(({ name }) => !names.has(name))]);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      inBackground(this.again(), (error) => this.#warn(`Leftovers were not looked after: ${String(error)}`));
    }, LATER_MS).unref();
  }

  async #again(): Promise<void> {
    for (const [id, steps] of [...this.#steps]) {
      this.#steps.delete(id);
      const failed = await attempt(steps, () => undefined);
      if (failed.length > 0) this.#add(id, failed);
      else this.#warn(`Sandbox ${id}: what its end left behind is removed now.`);
    }
  }
}
