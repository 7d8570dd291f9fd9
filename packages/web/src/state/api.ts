import type { ConfirmationDetails, EventOf, Session, SessionEvent, Status } from "@holdfast/protocol";
import { decodeEvent, isRecord } from "./decode.ts";

const requestTimeoutMs = 30_000;

/** A request that did not succeed, in words for the reader. */
export class ApiError extends Error {
  override name = "ApiError";
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  readonly remedy: string | null;
  readonly requestId: string | null;
  /** The server's name for it; null when it did not say. */
  readonly code: string | null;

  constructor(
    status: number,
    message: string,
    extra: { remedy?: string | null; requestId?: string | null; code?: string | null; cause?: unknown } = {},
  ) {
    super(message, { cause: extra.cause });
    this.status = status;
    this.remedy = extra.remedy ?? null;
    this.requestId = extra.requestId ?? null;
    this.code = extra.code ?? null;
  }

  /** Whether the same request may succeed a little later. */
  get transient(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** One sentence or two: what happened and what to do. */
export function wordsOf(error: unknown): string {
  if (error instanceof ApiError) return error.remedy ? `${error.message} ${error.remedy}` : error.message;
  return error instanceof Error ? error.message : String(error);
}

const sentence = (text: string) => (/[.!?…]$/.test(text) ? text : `${text}.`);
const stringOr = (value: unknown, other: string) => (typeof value === "string" && value !== "" ? value : other);

function errorFrom(status: number, body: unknown): ApiError {
  const requestId = isRecord(body) && typeof body.request_id === "string" ? body.request_id : null;
  if (isRecord(body) && isRecord(body.error)) {
    const own = isRecord(body.holdfast) ? body.holdfast : {};
    const code = typeof own.code === "string" ? own.code : null;
    const message = stringOr(body.error.message, `The server answered ${status}`);
    return new ApiError(status, sentence(message), { requestId, code });
  }
  if (isRecord(body) && typeof body.title === "string") {
    const fields = Array.isArray(body.errors)
      ? body.errors.filter(isRecord).map((entry) => `${String(entry.path)}: ${String(entry.message)}`)
      : [];
    const detail = typeof body.detail === "string" && body.detail !== body.title ? [sentence(body.detail)] : [];
    const message = [sentence(body.title), ...detail, ...fields.map(sentence)].join(" ");
    return new ApiError(status, message, {
      remedy: typeof body.remedy === "string" ? body.remedy : null,
      requestId,
      code: typeof body.code === "string" ? body.code : null,
    });
  }
  return new ApiError(status, `The server answered ${status}.`, {
    remedy: "Try again; if it stays, look at the output of script/start.",
  });
}

/** What somebody says to a question. */
export interface Answer {
  /** Of the `agent.tool_use` event. */
  tool_use_id: string;
  result: "allow" | "deny";
  deny_message?: string;
  holdfast?: ConfirmationDetails;
}

export type MessageContent = EventOf<"user.message">["content"];

export interface CallOptions {
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export interface Api {
  status: (signal?: AbortSignal) => Promise<Status>;
  login: (apiKey: string) => Promise<void>;
  logout: () => Promise<void>;
  setCredential: (apiKey: string) => Promise<void>;
  deleteCredential: () => Promise<void>;
  sessions: (page?: string, signal?: AbortSignal) => Promise<{ data: Session[]; nextPage: string | null }>;
  session: (id: string, signal?: AbortSignal) => Promise<Session>;
  createSession: (title?: string) => Promise<Session>;
  send: (
    sessionId: string,
    text: string,
    options: { clientId: string; signal: AbortSignal },
  ) => Promise<SessionEvent[]>;
  /** `messageId`: whose turn is meant; nothing happens when that is over. */
  interrupt: (sessionId: string, clientId: string, messageId: string | null) => Promise<void>;
  changeSettings: (sessionId: string, settings: { permission_mode: string }) => Promise<void>;
  /** Other words for a message that waits, or: now. */
  changeMessage: (
    sessionId: string,
    messageId: string,
    change: { content?: MessageContent; delivery?: "next" | "now" },
  ) => Promise<void>;
  removeMessage: (sessionId: string, messageId: string) => Promise<void>;
  /** Answers a question; the same `key` again is the same answer. */
  answer: (sessionId: string, answer: Answer, key: string) => Promise<void>;
  events: (
    sessionId: string,
    page?: string,
    signal?: AbortSignal,
  ) => Promise<{ data: SessionEvent[]; nextPage: string | null }>;
}

type Call = (method: string, path: string, options?: CallOptions) => Promise<unknown>;

/** One request, within its time. */
function callOf(onUnauthorized: () => void): Call {
  return async (method: string, path: string, options: CallOptions = {}) => {
    const deadline = AbortSignal.timeout(requestTimeoutMs);
    const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
    const headers: Record<string, string> = { accept: "application/json", ...options.headers };
    if (options.body !== undefined) headers["content-type"] = "application/json";
    const body = options.body === undefined ? null : JSON.stringify(options.body);
    let response: Response;
    let text: string;
    try {
      response = await fetch(path, { method, headers, body, signal, credentials: "same-origin" });
      text = await response.text();
    } catch (cause) {
      if (options.signal?.aborted) throw cause;
      throw new ApiError(0, "The server does not answer.", {
        remedy: "Check that script/start is still running.",
        cause,
      });
    }
    const parsed = parseJson(text);
    if (response.ok) return parsed;
    if (response.status === 401) onUnauthorized();
    throw errorFrom(response.status, parsed);
  };
}

/** The HTTP API of the page's own origin. `onUnauthorized` is told of every 401. */
export function createApi(onUnauthorized: () => void): Api {
  const call = callOf(onUnauthorized);
  const events = `/events`;
  const message = (id: string, messageId: string) => `${at(id)}/messages/${encodeURIComponent(messageId)}`;
  const at = (id: string) => `/v1/sessions/${encodeURIComponent(id)}`;
  return {
    status: async (signal) => (await call("GET", "/v1/status", signal ? { signal } : {})) as Status,
    login: async (apiKey) => {
      await call("POST", "/v1/login", { body: { api_key: apiKey } });
    },
    changeSettings: async (sessionId, settings) => {
      await call("POST", at(sessionId), { body: { holdfast: { settings } } });
    },
    setCredential: async (apiKey) => {
      await call("PUT", "/v1/credential", { body: { api_key: apiKey } });
    },
    deleteCredential: async () => {
      await call("DELETE", "/v1/credential");
    },
    logout: async () => {
      await call("POST", "/v1/logout", { body: {} });
    },
    sessions: async (page, signal) => {
      const query = page ? `&page=${encodeURIComponent(page)}` : "";
      const list = listOf(await call("GET", `/v1/sessions?limit=50${query}`, signal ? { signal } : {}));
      return { data: list.data as Session[], nextPage: list.nextPage };
    },
    session: async (id, signal) => (await call("GET", at(id), signal ? { signal } : {})) as Session,
    createSession: async (title) => (await call("POST", "/v1/sessions", { body: title ? { title } : {} })) as Session,
    send: async (id, text, { clientId, signal }) => {
      const holdfast = { client_id: clientId };
      const message = { type: "user.message", content: [{ type: "text", text }], holdfast };
      const headers = { "idempotency-key": clientId };
      return eventsIn(await call("POST", at(id) + events, { body: { events: [message] }, headers, signal }));
    },
    changeMessage: async (id, messageId, change) => {
      await call("POST", message(id, messageId), { body: change });
    },
    removeMessage: async (id, messageId) => {
      await call("DELETE", message(id, messageId));
    },
    interrupt: async (id, clientId, messageId) => {
      await call("POST", at(id) + events, {
        body: {
          events: [{ type: "user.interrupt", ...(messageId ? { holdfast: { message_id: messageId } } : {}) }],
        },
        headers: { "idempotency-key": clientId },
      });
    },
    answer: async (id, answer, key) => {
      await call("POST", at(id) + events, {
        body: { events: [{ type: "user.tool_confirmation", ...answer }] },
        headers: { "idempotency-key": key },
      });
    },
    events: async (id, page, signal) => {
      const query = page ? `&page=${encodeURIComponent(page)}` : "";
      const answer = await call("GET", `${at(id)}${events}?limit=300&order=desc${query}`, signal ? { signal } : {});
      return { data: eventsIn(answer), nextPage: listOf(answer).nextPage };
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // An answer that is not JSON (a proxy's page, an empty body) is described by its status alone.
    return null;
  }
}

function listOf(answer: unknown): { data: unknown[]; nextPage: string | null } {
  if (!isRecord(answer) || !Array.isArray(answer.data))
    throw new ApiError(0, "The server's answer was not a list.", {
      remedy: "Reload the page; it may be older than the server.",
    });
  return { data: answer.data, nextPage: typeof answer.next_page === "string" ? answer.next_page : null };
}

const eventsIn = (answer: unknown): SessionEvent[] =>
  listOf(answer)
    .data.map((entry) => decodeEvent(entry))
    .filter((event) => event !== null);
