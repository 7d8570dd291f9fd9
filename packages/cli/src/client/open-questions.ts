import type { Question } from "../render/question-card.ts";
import { hintOf, type Reply, readReply } from "./reply.ts";
import type { Frame } from "./sessions.ts";

/** The questions of a session that nothing has ended, and how far the reader is with the oldest. */
export class OpenQuestions {
  readonly #open = new Map<string, Question>();
  #answers: Record<string, string | string[]> = {};

  /** True when what is to be answered next has changed. */
  take(frame: Frame): boolean {
    const before = this.current;
    if (frame.type === "holdfast.permission_request") this.#open.set(frame.tool_use_id, frame);
    else if (frame.type === "holdfast.permission_resolved") this.#open.delete(frame.tool_use_id);
    if (this.current === before) return false;
    this.#answers = {};
    return true;
  }

  get current(): Question | undefined {
    return this.#open.values().next().value;
  }

  /** What to write before the reader's words. */
  get prompt(): string {
    return this.current === undefined ? "" : `${hintOf(this.current, this.#answers)} > `;
  }

  /** What was typed: something to send, something to say about it, or nothing yet. */
  typed(text: string): { send?: { question: Question; reply: Reply }; say?: string } {
    const question = this.current;
    if (question === undefined) return {};
    const read = readReply(question, text, this.#answers);
    if ("unclear" in read) return { say: read.unclear };
    if ("answers" in read) {
      this.#answers = read.answers;
      return {};
    }
    // Should it not be taken, the log says what was.
    this.#open.delete(question.tool_use_id);
    this.#answers = {};
    return { send: { question, reply: read.reply } };
  }
}
