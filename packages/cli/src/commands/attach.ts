import { createInterface, type Interface } from "node:readline";
import { connection } from "../client/connection.ts";
import { OpenQuestions } from "../client/open-questions.ts";
import { RunningTurn } from "../client/queue.ts";
import { type Frame, Sessions } from "../client/sessions.ts";
import { createViewer } from "../client/turn.ts";
import type { CommandContext, Handler } from "../command.ts";
import { widthOf } from "../render/clean.ts";
import { type ClosableSurface, liveSurface } from "../render/surface.ts";
import { Transcript } from "../render/transcript.ts";

export const attach: Handler = async (input, context) => {
  const { out, stdin, signal } = context;
  const sessions = new Sessions(connection(input, context));
  const id = await sessions.resolve(input.args[0] ?? "", signal);
  await sessions.get(id, signal);
  if (out.live && stdin.isTTY === true) return await new Conversation(sessions, id, context).run();
  using viewer = createViewer(context, { echo: true });
  for await (const frame of sessions.follow(id, { signal, onCut: viewer.cut })) viewer.push(frame);
  return 0;
};

const prompt = "> ";

/** A session in a terminal: what is said above, what the reader types below. */
class Conversation {
  readonly #sessions: Sessions;
  readonly #id: string;
  readonly #context: CommandContext;
  readonly #leave = new AbortController();
  readonly #lines: Interface;
  readonly #surface: ClosableSurface;
  readonly #transcript: Transcript;
  readonly #turn = new RunningTurn();
  readonly #questions = new OpenQuestions();
  #failure: unknown;

  constructor(sessions: Sessions, id: string, context: CommandContext) {
    const { out, stdin } = context;
    this.#sessions = sessions;
    this.#id = id;
    this.#context = context;
    const lines = createInterface({ input: stdin, output: out.stdout, terminal: true, prompt });
    this.#lines = lines;
    lines.on("close", () => this.#leave.abort("left"));
    this.#surface = liveSurface(out, {
      rowsAbove: () => (this.#leave.signal.aborted ? 0 : lines.getCursorPos().rows),
      draw: () => {
        if (this.#leave.signal.aborted) return;
        // The cursor stands on a fresh line: there is nothing above it for readline to go back to.
        (lines as Interface & { prevRows: number }).prevRows = 0;
        lines.prompt(true);
      },
    });
    this.#transcript = new Transcript({ surface: this.#surface, paint: out.paint, deltas: true, echo: true });
  }

  async run(): Promise<number> {
    const { out, signal } = this.#context;
    const lines = this.#lines;
    lines.on("line", (text) => this.#typed(text));
    lines.on("SIGINT", () =>
      this.#turn.running || this.#questions.current !== undefined
        ? this.#do(this.#sessions.interrupt(this.#id, { messageId: this.#turn.press(Date.now()) }))
        : lines.close(),
    );
    signal.addEventListener("abort", () => lines.close(), { once: true });
    this.#surface.print(
      out.paint(
        "dim",
        `${this.#id}: Enter sends, Ctrl-C stops the turn or leaves, Ctrl-D leaves. The session goes on.`,
      ),
    );
    try {
      const options = { signal: this.#leave.signal, onCut: (waitMs: number) => this.#cut(waitMs) };
      for await (const frame of this.#sessions.follow(this.#id, options)) this.#take(frame);
    } catch (error) {
      if (!this.#leave.signal.aborted) this.#failure = error;
    } finally {
      this.#surface[Symbol.dispose]();
      lines.close();
      out.stdout.write("\n");
    }
    if (this.#failure !== undefined) throw this.#failure;
    return signal.aborted ? 130 : 0;
  }

  #take(frame: Frame): void {
    this.#turn.take(frame);
    if (this.#questions.take(frame)) this.#setPrompt();
    this.#transcript.push(frame);
    if (frame.type === "session.status_terminated") this.#lines.close();
  }

  #setPrompt(): void {
    this.#lines.setPrompt(this.#questions.prompt || prompt);
  }

  #typed(text: string): void {
    // Enter moved the cursor below what was typed; it is shown again as an event of the log, so it goes from here.
    const columns = Math.max(20, this.#context.out.stdout.columns ?? 80);
    const rows = Math.floor(widthOf(this.#lines.getPrompt() + text) / columns) + 1;
    this.#context.out.stdout.write(`\u001b[${rows}A\r\u001b[J`);
    this.#lines.prompt();
    const said = text.trim();
    if (said === "") return;
    if (this.#questions.current !== undefined) this.#answer(said);
    else this.#do(this.#sessions.send(this.#id, text));
  }

  #answer(said: string): void {
    const { send, say } = this.#questions.typed(said);
    this.#setPrompt();
    if (say !== undefined) this.#surface.print(this.#context.out.paint("dim", `· ${say}`));
    if (send !== undefined) this.#do(this.#sessions.confirm(this.#id, send.question.tool_use_id, send.reply));
    // Draws the new prompt.
    this.#lines.prompt();
  }

  /** What was typed must not be lost without a word. */
  #do(work: Promise<unknown>): void {
    work.catch(async (error: unknown) => {
      const { inWords } = await import("../failure.ts");
      const { message, why, todo } = await inWords(error);
      const { paint } = this.#context.out;
      this.#surface.print(
        `${paint("red", `Error: ${message}`)}\n  ${[why, todo].filter((part) => part !== "").join(" ")}`,
      );
    });
  }

  #cut(waitMs: number): void {
    if (waitMs > 250)
      this.#surface.print(this.#context.out.paint("yellow", "· The connection was lost; connecting again"));
  }
}
