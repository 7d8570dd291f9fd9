import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import type { DraftFrame, NewEvent, Session, SessionEvent, Status } from "@holdfast/protocol";

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

interface Stream {
  response: ServerResponse;
  sessions: ReadonlySet<string>;
  deltas: ReadonlySet<string>;
}

interface Entry {
  session: Session;
  events: SessionEvent[];
  drafts: Map<string, { kind: "agent.message" | "agent.thinking"; text: string }>;
}

/** The HTTP API as the page sees it, over logs that a test writes. Serves the built page under the strictest policy. */
export class ReplayServer implements AsyncDisposable {
  readonly sessions = new Map<string, Entry>();
  readonly requests: { method: string; path: string; key: string | undefined; body: unknown }[] = [];
  status: Status = defaultStatus();
  /** Answer 401 to everything but the login until somebody has logged in. */
  locked = false;
  /** Questions that somebody else has answered already. */
  answeredElsewhere = new Set<string>();
  /** Answers to `POST …/events`: the next ones fail with this status. */
  failSends: number[] = [];
  /** While false, streams and requests are cut at once. */
  online = true;
  statusFails = false;
  /** How many streams there were at the same time. */
  mostStreams = 0;
  /** Answers to requests for older pages wait for this. */
  holdPages: Promise<void> = Promise.resolve();
  #keys = new Map<string, SessionEvent[]>();
  #streams = new Set<Stream>();
  readonly #server: Server;
  readonly #dist: string;
  #clockMs = Date.now() - 60_000;

  private constructor(dist: string) {
    this.#dist = dist;
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        response.writeHead(500).end(String(error));
      });
    });
  }

  static async start(dist: string): Promise<ReplayServer> {
    const replay = new ReplayServer(dist);
    await new Promise<void>((resolve) => replay.#server.listen(0, "127.0.0.1", resolve));
    return replay;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  addSession(id: string, title: string | null = id): Entry {
    const at = new Date(this.#clockMs).toISOString();
    const session: Session = {
      id,
      type: "session",
      agent,
      environment_id: "env_1",
      title,
      status: "idle",
      metadata: {},
      created_at: at,
      updated_at: at,
      archived_at: null,
      budget: null,
      outcome_evaluations: [],
      resources: [],
      stats: {},
      usage: {},
      vault_ids: [],
      holdfast: {
        workspace: "default",
        last_seq: 0,
        cost_usd: 0,
        needs_answer: false,
        settings,
        background: [],
        todos: [],
      },
    };
    const entry: Entry = { session, events: [], drafts: new Map() };
    this.sessions.set(id, entry);
    return entry;
  }

  /** Appends to the log, a `gapMs` after the last one, and tells every stream. */
  append(sessionId: string, event: NewEvent, options: { silent?: boolean; gapMs?: number } = {}): SessionEvent {
    const entry = this.#entry(sessionId);
    this.#clockMs += options.gapMs ?? 400;
    const seq = entry.events.length + 1;
    const full = {
      id: `sevt_${sessionId}${seq}`,
      ...event,
      seq,
      processed_at: new Date(this.#clockMs).toISOString(),
    } as SessionEvent;
    entry.events.push(full);
    entry.session.holdfast.last_seq = seq;
    entry.drafts.delete(full.id);
    if (full.type === "holdfast.permission_request") entry.session.holdfast.needs_answer = true;
    if (full.type === "holdfast.permission_resolved") entry.session.holdfast.needs_answer = false;
    if (full.type === "session.status_running") entry.session.status = "running";
    if (full.type === "session.status_idle") entry.session.status = "idle";
    if (full.type === "holdfast.turn_result") entry.session.holdfast.cost_usd = full.total_cost_usd;
    if (!options.silent) this.#toStreams(sessionId, frame(full, sessionId, full.seq));
    return full;
  }

  draft(sessionId: string, draft: DraftFrame): void {
    const { drafts } = this.#entry(sessionId);
    if (draft.type === "event_start") drafts.set(draft.event.id, { kind: draft.event.type, text: "" });
    else if (draft.type === "holdfast.draft_void") drafts.delete(draft.event_id);
    else {
      const open = drafts.get(draft.event_id);
      if (open) open.text += draft.delta.content.text;
    }
    for (const stream of this.#streams)
      if (stream.deltas.has(sessionId)) stream.response.write(frame(draft, sessionId));
  }

  /** Raw text into every stream, for what a real server should never send. */
  raw(sessionId: string, text: string): void {
    this.#toStreams(sessionId, text);
  }

  cutStreams(): void {
    for (const stream of this.#streams) stream.response.destroy();
  }

  #entry(id: string): Entry {
    const entry = this.sessions.get(id);
    if (!entry) throw new Error(`no session ${id}`);
    return entry;
  }

  #toStreams(sessionId: string, text: string): void {
    for (const stream of this.#streams) if (stream.sessions.has(sessionId)) stream.response.write(text);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    if (!url.pathname.startsWith("/v1/")) return this.#file(url.pathname, response);
    if (!this.online) {
      request.socket.destroy();
      return;
    }
    const body = await readJson(request);
    const method = request.method ?? "GET";
    this.requests.push({ method, path: url.pathname, key: headerOf(request, "idempotency-key"), body });
    if (url.pathname === "/v1/login") return this.#login(body, response);
    if (this.locked)
      return problem(response, 401, {
        code: "key_missing",
        title: "No API key or session cookie was sent",
        remedy: "Log in.",
      });
    if (url.pathname === "/v1/status" && this.statusFails)
      return problem(response, 503, {
        code: "gateway_unavailable",
        title: "The model gateway does not answer",
        remedy: "Look at the output of `script/start`.",
      });
    if (url.pathname === "/v1/status") return json(response, 200, this.status);
    if (url.pathname === "/v1/credential") return this.#credential(method, body, response);
    if (url.pathname === "/v1/sessions") return this.#collection(method, body, response);
    if (url.pathname === "/v1/events/stream") return this.#stream(url, response);
    const [, id = "", rest = ""] = /^\/v1\/sessions\/([^/]+)(.*)$/.exec(url.pathname) ?? [];
    const entry = this.sessions.get(id);
    if (!entry)
      return json(response, 404, {
        type: "error",
        error: {
          type: "not_found_error",
          message: "This account has no session with this id. List the sessions with GET /v1/sessions.",
        },
        request_id: "req_1",
      });
    if (rest === "" && method === "POST") this.#configure(entry, body);
    if (rest === "") return json(response, 200, entry.session);
    const [, messageId] = /^\/messages\/([^/]+)$/.exec(rest) ?? [];
    if (messageId !== undefined) return this.#message(entry, messageId, method, body, response);
    if (method === "POST") return this.#send(entry, request, body, response);
    if (url.searchParams.has("page")) await this.holdPages;
    return page(entry, url, response);
  }

  #login(body: unknown, response: ServerResponse): void {
    if ((body as { api_key?: string } | null)?.api_key !== "key_right") {
      problem(response, 401, {
        code: "key_wrong",
        title: "The API key or login is not valid",
        remedy: "Use another.",
      });
      return;
    }
    this.locked = false;
    json(response, 200, {});
  }

  #credential(method: string, body: unknown, response: ServerResponse): void {
    const key = (body as { api_key?: string } | null)?.api_key ?? "";
    if (method === "PUT" && !key.startsWith("sk-ant-")) {
      problem(response, 400, {
        code: "credential_invalid",
        title: "This does not look like an Anthropic API key",
        remedy: "Paste the whole key; it begins with sk-ant-.",
      });
      return;
    }
    this.status = {
      ...this.status,
      model:
        method === "PUT"
          ? { mode: "anthropic", credential: { source: "file", last4: key.slice(-4) } }
          : { mode: "scripted", credential: { source: "none", last4: null } },
    };
    json(response, 200, {});
  }

  #collection(method: string, body: unknown, response: ServerResponse): void {
    if (method === "POST") {
      json(
        response,
        200,
        this.addSession(`sesn_new${this.sessions.size}`, (body as { title?: string }).title ?? null).session,
      );
      return;
    }
    const data = [...this.sessions.values()].map((entry) => entry.session);
    json(response, 200, { data, next_page: null });
  }

  /** The multiplexed stream; the page sends the place in each session with its id. */
  #stream(url: URL, response: ServerResponse): void {
    const asked = (url.searchParams.get("sessions") ?? "").split(",").map((each) => each.split(":"));
    const deltas = new Set((url.searchParams.get("deltas_of") ?? "").split(","));
    const known = asked.flatMap(([id = "", seq = ""]) => {
      const entry = this.sessions.get(id);
      return entry ? [{ id, entry, cursor: Number(seq) }] : [];
    });
    if (known.length === 0) {
      response.writeHead(404).end("{}");
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    const points = known.map(({ id, entry, cursor }) => {
      const resumed = cursor <= entry.events.length;
      const verdict = resumed ? "ok" : "gap";
      return { id, entry, verdict, resumed, after: resumed ? cursor : 0, last_seq: entry.events.length };
    });
    const sessions = Object.fromEntries(points.map(({ id, entry: _, ...point }) => [id, point]));
    response.write(`event: ping\nid: m1\ndata: ${JSON.stringify({ type: "holdfast.stream", sessions })}\n\n`);
    for (const [id = ""] of asked)
      if (!this.sessions.has(id))
        response.write(`event: ping\ndata: ${JSON.stringify({ type: "holdfast.stream_error", session_id: id })}\n\n`);
    for (const { id, entry, after } of points) {
      for (const event of entry.events) if (event.seq > after) response.write(frame(event, id, event.seq));
      if (!deltas.has(id)) continue;
      for (const [draftId, draft] of entry.drafts) {
        response.write(frame({ type: "event_start", event: { type: draft.kind, id: draftId } }, id));
        if (draft.text !== "") response.write(frame(delta(draftId, draft.text), id));
      }
    }
    const stream: Stream = { response, sessions: new Set(points.map(({ id }) => id)), deltas };
    this.#streams.add(stream);
    this.mostStreams = Math.max(this.mostStreams, this.#streams.size);
    response.on("close", () => this.#streams.delete(stream));
  }

  #send(entry: Entry, request: IncomingMessage, body: unknown, response: ServerResponse): void {
    const failure = this.failSends.shift();
    const key = headerOf(request, "idempotency-key");
    const known = key === undefined ? undefined : this.#keys.get(key);
    if (failure === 0) {
      request.socket.destroy();
      return;
    }
    if (failure !== undefined) {
      json(response, failure, {
        type: "error",
        error: { type: "api_error", message: "No sandbox could be started. Send the message again." },
      });
      return;
    }
    if (known) {
      json(response, 200, { data: known });
      return;
    }
    const confirmation = (body as { events: { type: string; tool_use_id?: string }[] }).events[0];
    if (confirmation?.type === "user.tool_confirmation" && this.answeredElsewhere.has(confirmation.tool_use_id ?? "")) {
      json(response, 409, {
        type: "error",
        error: { type: "conflict_error", message: "This question has been answered already." },
        holdfast: { code: "confirmation_late", remedy: "" },
      });
      return;
    }
    const sent = (body as { events: { type: string; content?: { type: "text"; text: string }[] }[] }).events;
    const data = sent.map((event) =>
      event.type !== "user.message"
        ? this.append(entry.session.id, event as NewEvent)
        : this.append(entry.session.id, {
            type: "user.message",
            content: event.content ?? [],
            ...(key === undefined ? {} : { holdfast: { client_id: key } }),
          }),
    );
    if (key !== undefined) this.#keys.set(key, data);
    json(response, 200, { data });
  }

  #configure(entry: Entry, body: unknown): void {
    const { settings } = (body as { holdfast: { settings: object } }).holdfast;
    const changed = { ...entry.session.holdfast.settings, ...settings };
    entry.session.holdfast.settings = changed;
    this.append(entry.session.id, { type: "session.updated", holdfast: { settings: changed } });
  }

  #message(entry: Entry, messageId: string, method: string, body: unknown, response: ServerResponse): void {
    const changes = entry.events.filter((event) => event.type === "holdfast.message" && event.message_id === messageId);
    if (changes.some((event) => event.type === "holdfast.message" && event.state !== "edited")) {
      problem(response, 409, {
        code: "message_taken",
        title: "Claude has this message already",
        remedy: "Send another message.",
      });
      return;
    }
    const { content, delivery } = (body ?? {}) as { content?: { type: "text"; text: string }[]; delivery?: string };
    const say = (state: "edited" | "removed" | "steered", more: object = {}) =>
      this.append(entry.session.id, { type: "holdfast.message", message_id: messageId, state, ...more });
    if (method === "DELETE") say("removed");
    if (content) say("edited", { content });
    if (delivery === "now") say("steered");
    json(response, 200, {});
  }

  async #file(path: string, response: ServerResponse): Promise<void> {
    const name = normalize(path === "/" ? "/index.html" : path);
    try {
      const content = await readFile(join(this.#dist, name));
      response.writeHead(200, {
        "content-type": types[extname(name)] ?? "application/octet-stream",
        "content-security-policy": "default-src 'self'; require-trusted-types-for 'script'",
      });
      response.end(content);
    } catch {
      response.writeHead(404).end("not found");
    }
  }
}

export const delta = (id: string, text: string): DraftFrame => ({
  type: "event_delta",
  event_id: id,
  delta: { type: "content_delta", index: 0, content: { type: "text", text } },
});

export const start = (id: string, type: "agent.message" | "agent.thinking" = "agent.message"): DraftFrame => ({
  type: "event_start",
  event: { type, id },
});

function frame(data: object, sessionId: string, seq?: number): string {
  const id = seq === undefined ? "" : `id: m1.${seq}\n`;
  return `event: message\n${id}data: ${JSON.stringify({ ...data, session_id: sessionId })}\n\n`;
}

function page(entry: Entry, url: URL, response: ServerResponse): void {
  const before = Number(url.searchParams.get("page") ?? entry.events.length + 1);
  const limit = Number(url.searchParams.get("limit") ?? 300);
  const data = entry.events
    .filter((event) => event.seq < before)
    .slice(-limit)
    .reverse();
  const first = data.at(-1)?.seq ?? 1;
  json(response, 200, { data, next_page: first > 1 ? String(first) : null });
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return text === "" ? null : JSON.parse(text);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function problem(
  response: ServerResponse,
  status: number,
  body: { code: string; title: string; remedy: string },
): void {
  json(response, status, { type: `https://holdfast/problems/${body.code}`, status, ...body });
}

function defaultStatus(): Status {
  return {
    account: { id: "acc_1", name: "demo" },
    version: "0.1.0",
    model: { mode: "scripted", credential: { source: "none", last4: null } },
    storage: { state: "on", bucket: "agent-docs", key_prefix: "docs/acc_1/", reason: null },
    image: { state: "ready", detail: null },
  };
}

const settings = { permission_mode: "bypassPermissions", model: null, effort: null };

const agent: Session["agent"] = {
  type: "agent",
  id: "agent_default",
  version: 1,
  name: "Claude Code",
  description: null,
  execution_identity: { type: "service_account" },
  model: { id: "claude-code-default", speed: "standard" },
  multiagent: null,
  mcp_servers: [],
  skills: [],
  system: null,
  tools: [],
};
