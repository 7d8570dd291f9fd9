import { type Answer, type Api, ApiError, wordsOf } from "./api.ts";
import { type Cell, cell } from "./observable.ts";

/** What this page has said to a question and the log does not show yet. */
export type AnswerState = { state: "sending" } | { state: "elsewhere" } | { state: "failed"; problem: string };

const tries = 5;

/** Sends answers, each once however often the button is pressed. By the tool call's event id. */
export class Answers {
  readonly states: Cell<ReadonlyMap<string, AnswerState>> = cell<ReadonlyMap<string, AnswerState>>(new Map());
  readonly #api: Api;
  readonly #sessionId: string;
  readonly #wait: (ms: number) => Promise<void>;

  constructor(api: Api, sessionId: string, wait: (ms: number) => Promise<void>) {
    this.#api = api;
    this.#sessionId = sessionId;
    this.#wait = wait;
  }

  async send(answer: Answer): Promise<void> {
    const id = answer.tool_use_id;
    if (this.states.get().get(id)?.state === "sending") return;
    this.#set(id, { state: "sending" });
    const key = crypto.randomUUID();
    for (let attempt = 1; ; attempt++) {
      try {
        // It stays "sending" until the log says what became of it.
        return await this.#api.answer(this.#sessionId, answer, key);
      } catch (error) {
        if (error instanceof ApiError && error.status === 409) return this.#set(id, { state: "elsewhere" });
        const lasting = !(error instanceof ApiError && error.transient);
        if (lasting || attempt === tries) return this.#set(id, { state: "failed", problem: wordsOf(error) });
        await this.#wait(500 * 2 ** (attempt - 1));
      }
    }
  }

  #set(id: string, state: AnswerState): void {
    this.states.set(new Map(this.states.get()).set(id, state));
  }
}
