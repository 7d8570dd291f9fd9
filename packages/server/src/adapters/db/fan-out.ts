import type { DraftFrame, SessionEvent } from "@holdfast/protocol";
import { BoundedQueue, ByteBudget } from "@holdfast/std";
import type { LogFrame } from "../../ports/event-log.ts";

interface Listener {
  queue: BoundedQueue<LogFrame>;
  drafts: ReadonlySet<string>;
}

/** One open draft: what it is and all of its text so far. */
interface OpenDraft {
  type: string;
  text: Map<number, string>;
}

interface Channel {
  listeners: Set<Listener>;
  drafts: Map<string, OpenDraft>;
}

/** What one reader may leave unread, over all sessions that it follows. */
export const queueBytes = 16 * 1024 * 1024;

/** Hands committed events and live drafts to whoever listens. Keeps nothing but the drafts that are still open. */
export class FanOut {
  readonly #channels = new Map<string, Channel>();
  readonly #queueLimit: number;

  /** How many frames a reader may be behind. */
  constructor(queueLimit: number) {
    this.#queueLimit = queueLimit;
  }

  /** The queue begins with the drafts that are open now. Call `leave` at the end. */
  join(
    sessionId: string,
    drafts: ReadonlySet<string>,
    budget = new ByteBudget(queueBytes),
  ): { queue: BoundedQueue<LogFrame>; leave: () => void } {
    const channel = this.#channel(sessionId);
    const listener: Listener = { queue: new BoundedQueue(this.#queueLimit, budget), drafts };
    for (const [id, draft] of channel.drafts) {
      if (!drafts.has(draft.type)) continue;
      for (const frame of framesOf(id, draft)) push(channel, listener, { kind: "draft", draft: frame });
    }
    channel.listeners.add(listener);
    const leave = () => {
      channel.listeners.delete(listener);
      listener.queue.end();
      listener.queue.clear();
      this.#drop(sessionId, channel);
    };
    return { queue: listener.queue, leave };
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
    const channel: Channel = { listeners: new Set(), drafts: new Map() };
    this.#channels.set(sessionId, channel);
    return channel;
  }

  #drop(sessionId: string, channel: Channel): void {
    if (channel.listeners.size === 0 && channel.drafts.size === 0) this.#channels.delete(sessionId);
  }
}

/** A reader that is too far behind is let go at once; it learns so when it reads again. */
function push(channel: Channel, listener: Listener, frame: LogFrame): void {
  const bytes = sizeOf(frame.kind === "event" ? frame.event : frame.draft);
  if (!listener.queue.push(frame, bytes)) channel.listeners.delete(listener);
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
