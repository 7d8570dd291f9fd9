import { type EventOf, type NewEvent, newId } from "@holdfast/protocol";

type StepEvent = EventOf<"holdfast.step">;
type StepName = StepEvent["step"];
type Said = Pick<StepEvent, "detail" | "progress" | "attempt">;

export type AppendEvents = (events: readonly NewEvent[]) => Promise<void>;

/** Something that takes time, told in the session's log as it goes on. What is said replaces what was said before. */
export class Step {
  readonly #append: AppendEvents;
  readonly #fixed: Pick<StepEvent, "step" | "step_id" | "title">;
  readonly #startedMs = performance.now();
  /** One after the other: a later word must not be overtaken. */
  #tail: Promise<void> = Promise.resolve();

  private constructor(append: AppendEvents, fixed: Pick<StepEvent, "step" | "step_id" | "title">) {
    this.#append = append;
    this.#fixed = fixed;
  }

  static begin(append: AppendEvents, step: StepName, title: string): Step {
    return new Step(append, { step, title, step_id: newId("event") });
  }

  running(said: Said = {}): Promise<void> {
    return this.#say("running", said);
  }

  end(state: "done" | "failed" | "skipped" | "warning", said: Said = {}): Promise<void> {
    return this.#say(state, said, { duration_ms: Math.round(performance.now() - this.#startedMs) });
  }

  #say(state: StepEvent["state"], said: Said, more: { duration_ms?: number } = {}): Promise<void> {
    const event: NewEvent = { type: "holdfast.step", ...this.#fixed, state, ...said, ...more };
    this.#tail = this.#tail.then(() => this.#append([event]));
    return this.#tail;
  }
}
