import type { DraftFrame, SessionEvent } from "@holdfast/protocol";
import type { LogFrame } from "../../ports/event-log.ts";
import type { Listener } from "./fan-out.ts";

/** So many ids are remembered to tell whether a draft's event was shown already. */
const seenLimit = 2_000;
const farewellMs = 500;

interface Behind {
  kind: "behind";
  /** What was told; undefined when another server told. */
  event: SessionEvent | undefined;
}

/** What one reader has seen, and what comes next for it. */
export class LogReader {
  readonly #listener: Listener;
  readonly #seen = new Set<string>();
  last: number;

  constructor(listener: Listener, after: number) {
    this.#listener = listener;
    this.last = after;
  }

  saw(event: SessionEvent): void {
    this.last = event.seq;
    this.#seen.add(event.id);
    const [oldest] = this.#seen;
    if (this.#seen.size > seenLimit && oldest !== undefined) this.#seen.delete(oldest);
  }

  /** Of a session that is deleted: what this server is just about to tell of it, if it was this one. */
  async farewell(signal: AbortSignal): Promise<LogFrame | undefined> {
    const soon = AbortSignal.timeout(farewellMs);
    try {
      for (;;) {
        const frame = await this.#listener.next(AbortSignal.any([signal, soon]));
        if (frame === undefined || frame.kind === "event") return frame;
      }
    } catch (error) {
      if (soon.aborted && !signal.aborted) return undefined;
      throw error;
    }
  }

  /** The next frame; `behind`: the table has some that come before it. Undefined at the end. */
  async next(signal: AbortSignal): Promise<LogFrame | Behind | undefined> {
    for (;;) {
      const frame = await this.#listener.next(signal);
      if (frame === undefined) return undefined;
      if (frame.kind === "wake") {
        if (frame.seq > this.last) return { kind: "behind", event: undefined };
      } else if (frame.kind === "draft") {
        // The event of this draft may have been read from the table already.
        if (!this.#seen.has(draftId(frame.draft))) return frame;
      } else if (frame.event.seq > this.last) {
        if (frame.event.seq > this.last + 1) return { kind: "behind", event: frame.event };
        this.saw(frame.event);
        return frame;
      }
    }
  }
}

function draftId(draft: DraftFrame): string {
  return draft.type === "event_start" ? draft.event.id : draft.event_id;
}
