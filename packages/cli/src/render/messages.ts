import type { EventOf, SessionEvent } from "@holdfast/protocol";
import { cleanText } from "./clean.ts";
import { cut } from "./tool-words.ts";

type Content = EventOf<"user.message">["content"];

/** What a reader is to see of a message now: what became of it, and its words where Claude gets them. */
export interface Shown {
  note?: string;
  said?: string;
}

const textOf = (content: Content) =>
  content.map((block) => (block.type === "text" ? block.text : "[image]")).join("\n");

/** A message on one line. */
export function beginningOf(content: Content): string {
  const text = textOf(content).trim();
  const [first = ""] = text.split("\n");
  return cleanText(cut(first.length < text.length ? `${first} …` : first, 60));
}

/** The user's messages as the log goes on: one that comes during a turn is shown in full when its own turn begins. */
export class MessageView {
  readonly #waiting = new Map<string, Content>();
  #busy = false;

  take(event: SessionEvent): Shown {
    if (event.type === "user.message") return this.#sent(event);
    if (event.type === "holdfast.message") return this.#changed(event);
    if (event.type === "session.status_idle") this.#busy = event.stop_reason.type === "requires_action";
    else if (event.type === "session.status_terminated") this.#busy = false;
    // A reader of the log's end may not have seen the turn's beginning.
    else if (event.type === "session.status_running" || event.type.startsWith("agent.")) this.#busy = true;
    return {};
  }

  #sent({ id, content, holdfast }: EventOf<"user.message">): Shown {
    if (!this.#busy) {
      this.#busy = true;
      return { said: textOf(content) };
    }
    this.#waiting.set(id, content);
    const when =
      holdfast?.delivery === "now" ? "A message that is to run now" : "A message that waits for this turn's end";
    return { note: `${when}: ${beginningOf(content)}` };
  }

  #changed({ message_id: id, state, content }: EventOf<"holdfast.message">): Shown {
    const known = this.#waiting.get(id);
    const now = content ?? known;
    const words = now === undefined ? "" : `: ${beginningOf(now)}`;
    if (state === "edited") {
      if (content !== undefined) this.#waiting.set(id, content);
      return { note: `The message that waits was changed${words}` };
    }
    this.#waiting.delete(id);
    if (state === "removed") return { note: `The message was removed, Claude does not get it${words}` };
    this.#busy = true;
    return {
      ...(state === "steered" ? { note: "The turn is stopped for the message that follows" } : {}),
      // One that did not wait has been shown when it was sent.
      ...(now === undefined ? {} : { said: textOf(now) }),
    };
  }
}

/** As a reader's own words are shown. */
export const quoted = (said: string, paint: (line: string) => string) =>
  cleanText(said)
    .split("\n")
    .map((line) => paint(`> ${line}`))
    .join("\n");
