import { createInterface, type Interface } from "node:readline";
import type { CommandContext } from "../command.ts";
import { OpenQuestions } from "./open-questions.ts";
import type { Frame, Sessions } from "./sessions.ts";

interface PrompterOptions {
  sessions: Sessions;
  sessionId: string;
  context: CommandContext;
  /** Something about the answer that was given. */
  note: (text: string) => void;
  /** An answer was not taken. */
  failed: (error: unknown) => void;
}

/** Asks the reader what the session asks, in a terminal, one question after the other. */
export class Prompter implements Disposable {
  readonly #options: PrompterOptions;
  readonly #questions = new OpenQuestions();
  #lines: Interface | undefined;
  readonly #leave = new AbortController();

  constructor(options: PrompterOptions) {
    this.#options = options;
  }

  /** Aborts when the reader does not want to answer: the session waits. */
  get leaving(): AbortSignal {
    return this.#leave.signal;
  }

  /** To be told before the frame is shown: what is typed on must not stand in its way. */
  before(frame: Frame): void {
    if (this.#questions.take(frame)) this.#close();
  }

  /** Now it is the reader's turn. Does nothing while it is so already, and when nothing is open. */
  ask(): void {
    if (this.#lines !== undefined || this.#questions.current === undefined || this.leaving.aborted) return;
    const { stdin, out } = this.#options.context;
    const lines = createInterface({ input: stdin, output: out.stdout, terminal: true });
    this.#lines = lines;
    lines.on("line", (text) => this.#typed(lines, text));
    // In raw mode the terminal does not make a signal of it.
    lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
    lines.on("close", () => {
      if (this.#lines === lines) this.#leave.abort(new Error("the reader left"));
    });
    this.#show(lines);
  }

  [Symbol.dispose](): void {
    this.#close();
  }

  #show(lines: Interface): void {
    lines.setPrompt(this.#questions.prompt);
    lines.prompt();
  }

  #typed(lines: Interface, text: string): void {
    const { sessions, sessionId, note, failed } = this.#options;
    const { send, say } = this.#questions.typed(text);
    if (send === undefined) {
      if (say !== undefined) note(say);
      this.#show(lines);
      return;
    }
    this.#close();
    sessions.confirm(sessionId, send.question.tool_use_id, send.reply).catch(failed);
    this.ask();
  }

  #close(): void {
    const lines = this.#lines;
    this.#lines = undefined;
    lines?.close();
  }
}
