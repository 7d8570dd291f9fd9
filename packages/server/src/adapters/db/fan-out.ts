import type { DraftFrame, SessionEvent } from "@holdfast/protocol";
import { BoundedQueue, ByteBudget } from "@holdfast/std";
import type { LogFrame } from "../../ports/event-log.ts";

/** A word that the table has events up to `seq`, written by another server. */
interface Wake {
  kind: "wake";
  seq: number;
}

/** One reader's end. */
export class Listener {
  readonly drafts: ReadonlySet<string>;
  readonly #queue: BoundedQueue<LogFrame | Wake>;
  #wake: Wake | undefined;

  constructor(queueLimit: number, drafts: ReadonlySet<string>, budget: ByteBudget) {
    this.drafts = drafts;
    this.#queue = new BoundedQueue(queueLimit, budget);
  }

  /** False when the reader is too far behind. */
  push(frame: LogFrame): boolean {
    return this.#queue.push(frame, sizeOf(frame.kind === "event" ? frame.event : frame.draft));
  }

  /** However often it is woken, one word waits: what it reads from the table meanwhile takes no memory. */
  wake(seq: number): void {
    if (this.#wake !== undefined) {
      this.#wake.seq = Math.max(this.#wake.seq, seq);
      return;
    }
    const wake: Wake = { kind: "wake", seq };
    if (this.#queue.push(wake)) this.#wake = wake;
  }

  async next(signal: AbortSignal): Promise<LogFrame | Wake | undefined> {
    const frame = await this.#queue.next(signal);
    if (frame === this.#wake) this.#wake = undefined;
    return frame;
  }

  end(): void {
    this.#queue.end();
    this.#queue.clear();
  }
}

/** One open draft: what it is and all of its text so far. */
interface OpenDraft {
  type: string;
  text: Map<number, string>;
}

interface Channel {
  listeners: Set<Listener>;
  drafts: Map<string, OpenDraft>;
  /** Tells of what other servers write; held while somebody listens. */
  others: Disposable | undefined;
}

/** What one reader may leave unread, over all sessions that it follows. */
export const queueBytes = 16 * 1024 * 1024;

/** Hands committed events and live drafts to whoever listens. Keeps nothing but the drafts that are still open. */
export class FanOut {
  readonly #channels = new Map<string, Channel>();
  readonly #queueLimit: number;
  readonly #subscribe: (sessionId: string) => Disposable;

  /** How many frames a reader may be behind. `subscribe` begins to call `wake` for a session. */
  constructor(queueLimit: number, subscribe: (sessionId: string) => Disposable) {
    this.#queueLimit = queueLimit;
    this.#subscribe = subscribe;
  }

  /** The queue begins with the drafts that are open now. Call `leave` at the end. */
  join(
    sessionId: string,
    drafts: ReadonlySet<string>,
    budget = new ByteBudget(queueBytes),
  ): { listener: Listener; leave: () => void } {
    const channel = this.#channel(sessionId);
    const listener = new Listener(this.#queueLimit, drafts, budget);
    channel.others ??= this.#subscribe(sessionId);
    for (const [id, draft] of channel.drafts) {
      if (!drafts.has(draft.type)) continue;
      for (const frame of framesOf(id, draft)) push(channel, listener, { kind: "draft", draft: frame });
    }
    channel.listeners.add(listener);
    const leave = () => {
      channel.listeners.delete(listener);
      listener.end();
      this.#drop(sessionId, channel);
    };
    return { listener, leave };
  }

  events(sessionId: string, events: readonly SessionEvent[]): void {
    const channel = this.#channels.get(sessionId);
    if (channel === undefined) return;
    for (const event of events) {
      channel.drafts.delete(event.id);
      for (const listener of channel.listeners) push(channel, listener, { kind: "event", event });
    }
    this.#drop(sessionId, channel);
  }

  /** Another server has written up to `seq`. */
  wake(sessionId: string, seq: number): void {
    for (const listener of this.#channels.get(sessionId)?.listeners ?? []) listener.wake(seq);
  }

  /** Others may have written anything. */
  wakeAll(): void {
    for (const sessionId of this.#channels.keys()) this.wake(sessionId, Number.POSITIVE_INFINITY);
  }

  draft(sessionId: string, frame: DraftFrame): void {
    const channel = this.#channel(sessionId);
    const id = frame.type === "event_start" ? frame.event.id : frame.event_id;
    if (frame.type === "event_start") channel.drafts.set(id, { type: frame.event.type, text: new Map() });
    const open = channel.drafts.get(id);
    const type = open?.type ?? "agent.message";
    if (frame.type === "event_delta" && open !== undefined) {
      const { index, content } = frame.delta;
      open.text.set(index, (open.text.get(index) ?? "") + content.text);
    }
    if (frame.type === "holdfast.draft_void") channel.drafts.delete(id);
    for (const listener of channel.listeners) {
      if (listener.drafts.has(type)) push(channel, listener, { kind: "draft", draft: frame });
    }
    this.#drop(sessionId, channel);
  }

  clearDrafts(sessionId: string): void {
    const ids = [...(this.#channels.get(sessionId)?.drafts.keys() ?? [])];
    for (const id of ids) this.draft(sessionId, { type: "holdfast.draft_void", event_id: id });
  }

  listenerCount(sessionId?: string): number {
    if (sessionId !== undefined) return this.#channels.get(sessionId)?.listeners.size ?? 0;
    let count = 0;
    for (const { listeners } of this.#channels.values()) count += listeners.size;
    return count;
  }

  #channel(sessionId: string): Channel {
    const known = this.#channels.get(sessionId);
    if (known !== undefined) return known;
    const channel: Channel = { listeners: new Set(), drafts: new Map(), others: undefined };
    this.#channels.set(sessionId, channel);
    return channel;
  }

  #drop(sessionId: string, channel: Channel): void {
    if (channel.listeners.size > 0) return;
    channel.others?.[Symbol.dispose]();
    channel.others = undefined;
    if (channel.drafts.size === 0 && this.#channels.get(sessionId) === channel) this.#channels.delete(sessionId);
  }
}

/** A reader that is too far behind is let go at once; it learns so when it reads again. */
function push(channel: Channel, listener: Listener, frame: LogFrame): void {
  if (!listener.push(frame)) channel.listeners.delete(listener);
}

const sizes = new WeakMap<object, number>();

/** About as many bytes as it holds; counted once, however many readers there are. */
function sizeOf(value: object): number {
  const known = sizes.get(value);
  if (known !== undefined) return known;
  const size = roughBytes(value);
  sizes.set(value, size);
  return size;
}

function roughBytes(value: unknown): number {
  if (typeof value === "string") return 16 + value.length;
  if (typeof value !== "object" || value === null) return 8;
  let size = 32;
  for (const [key, field] of Object.entries(value)) size += key.length + roughBytes(field);
  return size;
}

function* framesOf(id: string, draft: OpenDraft): Generator<DraftFrame> {
  yield { type: "event_start", event: { type: draft.type as "agent.message" | "agent.thinking", id } };
  for (const [index, text] of draft.text) {
    yield {
      type: "event_delta",
      event_id: id,
      delta: { type: "content_delta", index, content: { type: "text", text } },
    };
  }
}
