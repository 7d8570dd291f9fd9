import type { SessionEvent } from "@holdfast/protocol";
import { sleep } from "@holdfast/std";

/** Reads a session's stream the whole time, as a client would: what breaks is opened again with `Last-Event-ID`. */
export class StreamReader implements AsyncDisposable {
  /** In the order in which they came. */
  readonly events: SessionEvent[] = [];
  connections = 0;
  readonly #open: (headers: Record<string, string>, signal: AbortSignal) => Promise<Response>;
  readonly #closing = new AbortController();
  readonly #waiting = new Set<() => void>();
  readonly #done: Promise<void>;

  constructor(open: (headers: Record<string, string>, signal: AbortSignal) => Promise<Response>) {
    this.#open = open;
    this.#done = this.#loop();
  }

  /** Resolves as soon as `wanted` holds; false when the signal aborts before. */
  async until(wanted: (events: readonly SessionEvent[]) => boolean, signal: AbortSignal): Promise<boolean> {
    while (!wanted(this.events)) {
      if (signal.aborted) return false;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
      await promise;
      this.#waiting.delete(resolve);
    }
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#done;
  }

  async #loop(): Promise<void> {
    const { signal } = this.#closing;
    let lastId = "0";
    while (!signal.aborted) {
      try {
        const response = await this.#open({ "last-event-id": lastId }, signal);
        if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status}`);
        this.connections++;
        for await (const frame of framesOf(response.body)) {
          if (frame.id !== undefined) lastId = frame.id;
          if (frame.event === "message") this.#take(JSON.parse(frame.data) as SessionEvent);
        }
      } catch {
        // Whatever is being killed right now: the next attempt tells.
      }
      await sleep(50, signal).catch(() => undefined);
    }
  }

  #take(event: SessionEvent): void {
    this.events.push(event);
    for (const wake of this.#waiting) wake();
  }
}

interface Frame {
  event: string;
  id: string | undefined;
  data: string;
}

async function* framesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Frame, void, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      yield frameOf(text.slice(0, end));
      text = text.slice(end + 2);
    }
  }
}

function frameOf(text: string): Frame {
  const fields = new Map(
    text.split("\n").map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
    }),
  );
  return { event: fields.get("event") ?? "message", id: fields.get("id"), data: fields.get("data") ?? "" };
}
