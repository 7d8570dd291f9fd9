import { randomUUID } from "node:crypto";
import Anthropic from "@anthropic-ai/sdk";
import {
  type DraftFrame,
  type EventOf,
  type Session,
  type SessionEvent,
  type SettingsChange,
  workspaceMetadataKey,
} from "@holdfast/protocol";
import { isAbort, sleep } from "@holdfast/std";
import { CliError } from "../command.ts";
import type { Connection } from "./connection.ts";
import type { Reply } from "./reply.ts";

export type Frame = SessionEvent | DraftFrame;

type Call = { signal?: AbortSignal };

/** How long an answer, or the beginning of a stream, may take. */
const answerMs = 60_000;

/** Without a byte for this long (the server sends a heartbeat far more often) the connection counts as lost. */
const silenceMs = 90_000;

/** Sessions and their events, through the official SDK; what Holdfast adds to its shapes is given its types here. */
export class Sessions {
  readonly #client: Anthropic;

  constructor({ url, apiKey, fetch }: Connection) {
    this.#client = new Anthropic({
      baseURL: url,
      apiKey,
      fetch: cutSilence(fetch),
      maxRetries: 1,
      timeout: answerMs,
      logLevel: "off",
    });
  }

  async create(options: Call & { title: string; workspace: string | undefined }): Promise<Session> {
    const { title, workspace, signal } = options;
    const body = {
      agent: "agent_default",
      environment_id: "env_default",
      title,
      ...(workspace === undefined ? {} : { metadata: { [workspaceMetadataKey]: workspace } }),
    };
    return own(await this.#client.beta.sessions.create(body, { ...call(signal) }));
  }

  async get(id: string, signal?: AbortSignal): Promise<Session> {
    return own(await this.#client.beta.sessions.retrieve(id, {}, { ...call(signal) }));
  }

  /** Its permission mode, model and effort; what is not named stays. */
  async set(id: string, settings: SettingsChange, signal?: AbortSignal): Promise<Session> {
    const body = { holdfast: { settings } };
    return own(await this.#client.beta.sessions.update(id, body as object, { ...call(signal) }));
  }

  /** Newest first. */
  async *list(options: Call & { limit: number }): AsyncGenerator<Session, void, undefined> {
    let left = options.limit;
    const page = { limit: Math.min(100, left), order: "desc" as const };
    for await (const session of this.#client.beta.sessions.list(page, { ...call(options.signal) })) {
      if (left-- <= 0) return;
      yield own(session);
    }
  }

  /** The id itself, or that of the newest session for `last`. Throws CliError. */
  async resolve(id: string, signal?: AbortSignal): Promise<string> {
    if (id !== "last") return id;
    for await (const session of this.list({ limit: 1, ...call(signal) })) return session.id;
    throw new CliError(
      "There is no session yet",
      "`last` means the newest session.",
      'Begin one: holdfast run "PROMPT"',
    );
  }

  /** Returns the event as it stands in the log. */
  async send(id: string, text: string, options: Call & { now?: boolean } = {}): Promise<SessionEvent | undefined> {
    const { now, signal } = options;
    // A request that the SDK repeats counts once.
    const holdfast = { client_id: randomUUID(), ...(now === true ? { delivery: "now" as const } : {}) };
    const message = { type: "user.message" as const, content: [{ type: "text" as const, text }], holdfast };
    const sent = await this.#client.beta.sessions.events.send(id, { events: [message] }, { ...call(signal) });
    return own(sent.data?.[0]);
  }

  /** Stops the turn of this message; without one, whichever runs. */
  async interrupt(id: string, options: Call & { messageId?: string | undefined } = {}): Promise<void> {
    const { messageId, signal } = options;
    const named = messageId === undefined ? {} : { holdfast: { message_id: messageId } };
    const events = [{ type: "user.interrupt" as const, ...named }];
    await this.#client.beta.sessions.events.send(id, { events }, { ...call(signal) });
  }

  /** Returns what the log says about it. */
  async confirm(
    id: string,
    toolUseId: string,
    reply: Reply,
    signal?: AbortSignal,
  ): Promise<EventOf<"holdfast.permission_resolved"> | undefined> {
    const event = { type: "user.tool_confirmation" as const, tool_use_id: toolUseId, ...reply };
    await this.#client.beta.sessions.events.send(id, { events: [event] }, { ...call(signal) });
    const types = ["holdfast.permission_resolved"];
    for await (const each of this.events(id, { types, tail: 20, ...call(signal) }))
      if (each.type === "holdfast.permission_resolved" && each.tool_use_id === toolUseId) return each;
    return undefined;
  }

  /** The log so far, oldest first; the newest `tail` of it, and only of these types. */
  async *events(
    id: string,
    options: Call & { tail?: number; types?: string[] } = {},
  ): AsyncGenerator<SessionEvent, void, undefined> {
    const { tail, signal } = options;
    const order = tail === undefined ? ("asc" as const) : ("desc" as const);
    const limit = Math.min(500, tail ?? 500);
    const pages = this.#client.beta.sessions.events.list(
      id,
      { order, limit, ...(options.types === undefined ? {} : { types: own(options.types) }) },
      { ...call(signal) },
    );
    if (tail === undefined) {
      for await (const event of pages) yield own(event);
      return;
    }
    const newest: SessionEvent[] = [];
    for await (const event of pages) {
      newest.unshift(own(event));
      if (newest.length >= tail) break;
    }
    yield* newest;
  }

  async delete(id: string, signal?: AbortSignal): Promise<void> {
    await this.#client.beta.sessions.delete(id, {}, { ...call(signal) });
  }

  async archive(id: string, signal?: AbortSignal): Promise<void> {
    await this.#client.beta.sessions.archive(id, {}, { ...call(signal) });
  }

  /**
   * Everything after the event with seq `after` as it comes, drafts included; without `after` from the last turn on.
   * Connects again after a cut, from where it was. Ends only by its signal, or when the server refuses.
   */
  async *follow(
    id: string,
    options: { after?: number; signal: AbortSignal; onCut: (waitMs: number) => void },
  ): AsyncGenerator<Frame, void, undefined> {
    const { signal, onCut } = options;
    let after = options.after;
    let waitMs = 0;
    for (;;) {
      try {
        const query = { event_deltas: ["agent.message"], ...(after === undefined ? {} : { after }) };
        const stream = await this.#client.beta.sessions.events.stream(id, {}, { query, signal, maxRetries: 0 });
        for await (const each of stream) {
          const frame = own<Frame>(each);
          waitMs = 0;
          if ("seq" in frame) after = frame.seq;
          yield frame;
        }
      } catch (error) {
        if (signal.aborted || isAbort(error, signal)) throw signal.reason;
        if (isRefusal(error)) throw error;
      }
      signal.throwIfAborted();
      waitMs = Math.min(10_000, waitMs === 0 ? 250 : waitMs * 2);
      onCut(waitMs);
      await sleep(waitMs, signal);
    }
  }
}

const own = <T>(value: unknown) => value as T;
const call = (signal: AbortSignal | undefined) => (signal === undefined ? {} : { signal });

/** Trying again would bring the same answer. */
function isRefusal(error: unknown): boolean {
  const { status } = error as { status?: unknown };
  return typeof status === "number" && status >= 400 && status < 500 && status !== 408 && status !== 429;
}

/** A stream whose other end died without a word would be waited for without end. */
function cutSilence(inner: typeof globalThis.fetch): typeof globalThis.fetch {
  return async (target, init) => {
    const answer = await inner(target, init);
    if (answer.body === null || !answer.headers.get("content-type")?.startsWith("text/event-stream")) return answer;
    let timer: NodeJS.Timeout | undefined;
    const watch = new TransformStream<Uint8Array, Uint8Array>({
      start: (controller) => {
        timer = setTimeout(() => controller.error(new Error("the stream fell silent")), silenceMs);
      },
      transform: (chunk, controller) => {
        timer?.refresh();
        controller.enqueue(chunk);
      },
      flush: () => clearTimeout(timer),
      cancel: () => clearTimeout(timer),
    });
    return new Response(answer.body.pipeThrough(watch), answer);
  };
}
