import type { Signal } from "@holdfast/claude";
import type { HeldProcess } from "./held-process.ts";
import type { Turn } from "./turn.ts";

type TurnEnded = Extract<Signal, { type: "turn_ended" }>;

/** The turns whose messages are in Claude's hands: one as a rule, two while one steers the other. */
export class InFlight {
  #turns: Turn[] = [];

  add(turn: Turn): void {
    this.#turns.push(turn);
  }

  /** In the order in which they went to Claude. */
  get all(): Turn[] {
    this.#turns = this.#turns.filter(({ finished }) => !finished);
    return this.#turns;
  }

  /** Those whose lines this process has. */
  of(process: HeldProcess): Turn[] {
    return this.all.filter((turn) => turn.process === process);
  }

  get first(): Turn | undefined {
    return this.all[0];
  }

  get isEmpty(): boolean {
    return this.all.length === 0;
  }

  get(id: string): Turn | undefined {
    return this.all.find((turn) => turn.id === id);
  }

  /**
   * Whose end a result is. Claude Code names the messages, several when they were merged or folded; older versions do
   * not: then it is what Claude has begun, and what it has not begun comes next.
   */
  answeredBy(process: HeldProcess, ended: TurnEnded): Turn[] {
    const { userMessageUuids: named, origin } = ended;
    const its = this.of(process);
    if (named.length > 0) return its.filter(({ id }) => named.includes(id));
    if (origin !== null) return [];
    const begun = its.filter(({ taken }) => taken);
    return begun.length > 0 ? begun : its.slice(0, 1);
  }
}
