import type { EventOf, SessionEvent } from "@holdfast/protocol";
import type { Frame } from "../client/sessions.ts";
import type { Paint } from "../printer.ts";
import { cleanText } from "./clean.ts";
import { bodyOf, idleWords, initFacts, resultLines, stoppedCall, textOf } from "./event-words.ts";
import { MessageView, quoted } from "./messages.ts";
import { questionCard, resolvedLine } from "./question-card.ts";
import { cost, duration, plural, toolWords } from "./tool-words.ts";

/** Where a transcript goes: whole lines, text that still grows, and one line about what goes on. */
export interface Surface {
  /** Whole lines. */
  print(text: string): void;
  /** More of the text that is being said. */
  stream(text: string): void;
  /** Ends the text that is being said. */
  endStream(): void;
  /** What goes on now; undefined for nothing. Kept until the next call. */
  status(text: string | undefined): void;
}

export interface TranscriptOptions {
  paint: Paint;
  surface: Surface;
  /** Only what Claude says. */
  quiet?: boolean;
  /** Draft text as it comes; otherwise messages appear whole. */
  deltas: boolean;
  /** Whether the reader's own messages are shown too. */
  echo: boolean;
}

type ToolUse = EventOf<"agent.tool_use">;

/** Also to a reader who wants to see only what Claude says. */
const alwaysShown = new Set<string>(["session.error", "holdfast.permission_request"]);

/** Turns events into what a reader sees: the page's words and signs, in lines. */
export class Transcript {
  readonly #options: TranscriptOptions;
  readonly #tools = new Map<string, ToolUse>();
  readonly #messages = new MessageView();
  readonly #steps = new Map<string, string>();
  /** Drafts that are on the screen, with what was shown of each. */
  readonly #drafts = new Map<string, string>();
  #lastTool: string | undefined;
  #streaming: string | undefined;
  #separate = false;
  #begun = false;
  #working = false;
  /** The turn's own result says how it ended; what follows it need not. */
  #resultShown = false;

  constructor(options: TranscriptOptions) {
    this.#options = options;
  }

  push(frame: Frame): void {
    switch (frame.type) {
      case "event_start":
        return;
      case "event_delta":
        this.#delta(frame.event_id, frame.delta.content.text);
        return;
      case "holdfast.draft_void":
        this.#void(frame.event_id);
        return;
      default:
        this.#event(frame);
    }
  }

  #delta(id: string, raw: string): void {
    if (!this.#options.deltas) return;
    const shown = this.#drafts.get(id);
    if (shown === undefined) {
      this.#endStream();
      this.#gap();
    }
    this.#streaming = id;
    this.#begun = true;
    this.#drafts.set(id, (shown ?? "") + raw);
    this.#options.surface.stream(cleanText(raw));
  }

  #void(id: string): void {
    if (!this.#drafts.delete(id)) return;
    this.#endStream();
    this.#note("The text above broke off and is said again");
  }

  #endStream(): void {
    if (this.#streaming === undefined) return;
    this.#streaming = undefined;
    this.#options.surface.endStream();
    this.#separate = true;
  }

  #event(event: SessionEvent): void {
    const { note, said } = this.#messages.take(event);
    if (this.#options.echo && this.#options.quiet !== true) {
      if (note !== undefined) this.#note(note);
      if (said !== undefined) this.#user(said);
    }
    if (event.type === "agent.message") {
      this.#message(event);
      return;
    }
    if (event.type === "session.status_running") {
      this.#work(true);
      return;
    }
    if (event.type === "session.status_idle" || event.type === "session.status_terminated") this.#work(false);
    if (this.#options.quiet === true && !alwaysShown.has(event.type)) return;
    switch (event.type) {
      case "holdfast.permission_request":
        this.#block(questionCard(event, this.#options.paint));
        return;
      case "holdfast.permission_resolved":
        this.#note(resolvedLine(event));
        return;
      case "holdfast.initialized":
        this.#block(`🚀 Claude initialized… ${this.#options.paint("dim", initFacts(event))}`);
        return;
      case "agent.tool_use":
        this.#toolUse(event);
        return;
      case "agent.tool_result":
        this.#toolResult(event);
        return;
      case "holdfast.step":
        this.#step(event);
        return;
      case "holdfast.notice":
        this.#note(event.text, event.level === "info" ? "dim" : "yellow");
        return;
      case "agent.thread_context_compacted":
        // A notice with the numbers follows.
        return;
      case "session.error":
        this.#error(event);
        return;
      case "holdfast.turn_result":
        this.#result(event);
        return;
      case "session.status_idle":
        this.#idle(event);
        return;
      case "session.status_terminated":
        this.#block("This session has ended for good.");
        return;
      default:
        return;
    }
  }

  #work(working: boolean): void {
    this.#working = working;
    this.#options.surface.status(working ? "Claude is working" : undefined);
  }

  #message(event: EventOf<"agent.message">): void {
    const whole = event.content.map((block) => block.text).join("");
    const shown = this.#drafts.get(event.id);
    this.#drafts.delete(event.id);
    if (shown !== undefined && whole.startsWith(shown)) {
      if (whole.length > shown.length) this.#options.surface.stream(cleanText(whole.slice(shown.length)));
      this.#endStream();
    } else if (whole.trim() !== "") {
      this.#endStream();
      this.#gap();
      this.#print(cleanText(whole.trimEnd()));
      this.#separate = true;
    }
    if (event.holdfast?.aborted === true) this.#note("(stopped here)");
  }

  #user(said: string): void {
    this.#endStream();
    this.#separate = true;
    this.#gap();
    this.#print(quoted(said, (line) => this.#options.paint("bold", line)));
    this.#separate = true;
  }

  #toolUse(event: ToolUse): void {
    this.#tools.set(event.id, event);
    this.#endStream();
    this.#gap();
    const { label, params } = toolWords(event.name, event.input);
    const { paint } = this.#options;
    const asks = event.evaluated_permission === "ask" ? paint("yellow", "  waits for permission") : "";
    const indent = event.holdfast?.parent_event_id === undefined ? "" : "  ";
    this.#print(`${indent}🔧 ${paint("blue", cleanText(label))}  ${cleanText(params)}${asks}`);
    this.#lastTool = event.id;
  }

  #toolResult(event: EventOf<"agent.tool_result">): void {
    const { paint } = this.#options;
    this.#endStream();
    const use = this.#tools.get(event.tool_use_id);
    const took = use === undefined ? "" : duration(Date.parse(event.processed_at) - Date.parse(use.processed_at));
    const words =
      use === undefined ? { label: "Result of an earlier call", params: "" } : toolWords(use.name, use.input);
    // Several tools may run at once: a result that does not stand below its call names it.
    const name = this.#lastTool === event.tool_use_id ? "" : `${cleanText(words.label)}  ${cleanText(words.params)} · `;
    const stopped = event.is_error && stoppedCall.test(textOf(event));
    const sign = stopped
      ? paint("yellow", "■ stopped")
      : event.is_error
        ? paint("red", "❌ failed")
        : paint("green", "✓");
    const indent = event.holdfast?.parent_event_id === undefined ? "   " : "     ";
    this.#print(`${indent}${sign} ${paint("dim", `${name}${took}`)}`);
    const body = stopped ? [] : bodyOf(event, use);
    if (body.length > 0) this.#print(body.map((line) => `${indent}${this.#colourOf(event, line)}`).join("\n"));
    this.#lastTool = undefined;
    this.#separate = true;
  }

  #colourOf(event: EventOf<"agent.tool_result">, line: string): string {
    return event.is_error ? this.#options.paint("red", line) : this.#options.paint("dim", line);
  }

  #step(event: EventOf<"holdfast.step">): void {
    const { paint, surface } = this.#options;
    const progress = event.progress;
    const counted =
      progress === undefined
        ? ""
        : ` ${progress.done}${progress.total === null ? "" : ` of ${progress.total}`} ${progress.unit}`;
    const words = cleanText(`${event.title}${counted}`);
    if (event.state === "running") {
      surface.status(event.detail === undefined ? words : `${words}: ${cleanText(event.detail)}`);
      return;
    }
    this.#work(this.#working);
    if (event.state === "skipped") return;
    const signs = { done: paint("dim", "·"), warning: paint("yellow", "⚠"), failed: paint("red", "❌") };
    const took = event.duration_ms === undefined ? "" : ` ${paint("dim", duration(event.duration_ms))}`;
    const detail = event.detail === undefined || event.state === "done" ? "" : `\n   ${cleanText(event.detail)}`;
    const line = `${signs[event.state]} ${event.state === "done" ? paint("dim", words) : words}${took}${detail}`;
    // Said again with the same words it would only be noise.
    if (this.#steps.get(event.step_id) === line) return;
    this.#steps.set(event.step_id, line);
    this.#endStream();
    this.#gap("steps");
    this.#print(line);
  }

  #error(event: EventOf<"session.error">): void {
    const { paint } = this.#options;
    const again = event.error.retry_status.type === "retrying";
    const own = event.holdfast;
    const lines = [paint("red", `❌ ${again ? "Something failed and is tried again" : "This did not work"}`)];
    lines.push(`   ${cleanText(event.error.message)}`);
    if (own !== undefined && own.remedy !== "") lines.push(`   What to do: ${cleanText(own.remedy)}`);
    for (const line of cleanText(own?.output ?? "")
      .trimEnd()
      .split("\n")
      .slice(-resultLines))
      if (line !== "") lines.push(paint("dim", `   ${line}`));
    this.#block(lines.join("\n"));
  }

  #result(event: EventOf<"holdfast.turn_result">): void {
    const { paint } = this.#options;
    const words = {
      completed: "✓ Done in",
      stopped: "■ Stopped after",
      failed: "❌ Failed after",
      limit: "■ Limit after",
    };
    const facts = [
      `${words[event.outcome]} ${duration(event.duration_ms)}`,
      cost(event.cost_usd),
      plural(event.num_turns, "turn"),
    ];
    const style = event.outcome === "completed" ? "green" : event.outcome === "failed" ? "red" : "yellow";
    // What Claude Code says about a stop is for its makers.
    const errors =
      event.outcome === "completed" || event.outcome === "stopped"
        ? []
        : event.errors.map((text) => `\n   ${cleanText(text)}`);
    this.#block(paint(style, facts.join(" · ")) + errors.join(""));
    this.#resultShown = true;
  }

  #idle(event: EventOf<"session.status_idle">): void {
    const outcome = event.holdfast?.outcome ?? "completed";
    if (event.stop_reason.type === "requires_action") this.#note("Waits for your answer", "yellow");
    else if (!this.#resultShown && outcome !== "completed")
      this.#block(this.#options.paint("yellow", idleWords[outcome]));
    this.#resultShown = false;
  }

  #note(text: string, style: "dim" | "yellow" = "dim"): void {
    this.#endStream();
    this.#gap();
    this.#print(this.#options.paint(style, `· ${cleanText(text)}`));
  }

  #block(text: string): void {
    this.#endStream();
    this.#gap();
    this.#print(text);
    this.#separate = true;
  }

  /** An empty line between blocks, not between the lines of one. */
  #gap(kind?: "steps"): void {
    if (this.#separate && this.#begun && kind === undefined) this.#options.surface.print("");
    this.#separate = false;
  }

  #print(text: string): void {
    this.#lastTool = undefined;
    this.#begun = true;
    this.#options.surface.print(text);
  }
}
