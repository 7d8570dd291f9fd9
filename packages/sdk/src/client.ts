import type {
  Account,
  AccountCreated,
  AccountDeleted,
  ApiKey,
  ApiKeyCreated,
  ClaudeState,
  ClaudeStateName,
  Message,
  MessageRemoved,
  MessageUpdate,
  PermissionRule,
  Sandbox,
  SandboxExec,
  Status,
  Sweep,
  TaskStopped,
  Terminal,
  TerminalSize,
  Workspace,
  WorkspaceDeleted,
} from "@holdfast/protocol";
import { ApiError } from "./api-error.ts";
import { Execution } from "./execution.ts";
import { type Followed, type FollowOptions, follow } from "./follow.ts";
import { type CallOptions, Http, pages } from "./http.ts";

export interface HoldfastOptions {
  /** Where the server listens: `http://127.0.0.1:4600`. */
  baseUrl: string;
  apiKey?: string;
  fetch?: typeof globalThis.fetch;
}

export interface ListOptions extends CallOptions {
  /** Entries per page. */
  limit?: number;
}

export interface ExecOptions extends CallOptions {
  timeoutMs?: number;
  /** Whose rights it has in the sandbox; default: Claude's. */
  user?: SandboxExec["user"];
}

export type Holdfast = ReturnType<typeof createHoldfast>;

const segment = (id: string) => {
  if (id === "" || id === "." || id === "..") throw new TypeError("an id must not be empty");
  return encodeURIComponent(id);
};

/** A client of Holdfast's own routes. Every call throws `ApiError`, or its signal's reason. */
export function createHoldfast(options: HoldfastOptions) {
  const http = new Http({
    baseUrl: options.baseUrl,
    apiKey: options.apiKey,
    fetch: options.fetch ?? globalThis.fetch,
  });
  return {
    accounts: accounts(http),
    apiKeys: apiKeys(http),
    workspaces: workspaces(http),
    messages: messages(http),
    background: background(http),
    claude: claude(http),
    sandboxes: sandboxes(http),
    terminals: terminals(http),
    credential: credential(http),
    /** Events of many sessions, as they come; comes back by itself. */
    follow: (follows: FollowOptions): AsyncIterable<Followed> => follow(http, follows),
    /** What Claude Code printed in a session: NDJSON as it comes. `full`: nothing clipped. */
    raw: async (sessionId: string, { full = false, ...call }: CallOptions & { full?: boolean } = {}) => {
      const query = full ? { full: 1 } : {};
      const path = `/v1/sessions/${segment(sessionId)}/raw`;
      const { body } = await http.open(path, { ...call, query, accept: "application/x-ndjson" });
      return body ?? new ReadableStream<Uint8Array>();
    },
    /** Who asks, which model answers, where files are saved. */
    status: (call: CallOptions = {}) => http.json<Status>("/v1/status", call),
    /** What the last look through all sandboxes found; for the administrator alone. */
    sweep: async (call: CallOptions = {}) => (await http.json<{ last: Sweep | null }>("/v1/sweep", call)).last,
    /** Whether the server is alive, and whether it can do its work. */
    health: (call: CallOptions = {}) => health(http, call),
    version: async (call: CallOptions = {}) => (await http.json<{ version: string }>("/version", call)).version,
  };
}

async function health(http: Http, call: CallOptions): Promise<{ ready: boolean; reason: string | undefined }> {
  await http.json("/health", call);
  try {
    await http.json("/ready", call);
    return { ready: true, reason: undefined };
  } catch (error) {
    if (error instanceof ApiError && error.status === 503) return { ready: false, reason: error.detail };
    throw error;
  }
}

function accounts(http: Http) {
  return {
    /** All for the administrator's key, one's own for others. */
    list: (options: ListOptions = {}): AsyncIterable<Account> => pages<Account>(http, "/v1/accounts", options),
    create: (account: { name: string }, call: CallOptions = {}) =>
      http.json<AccountCreated>("/v1/accounts", { ...call, method: "POST", body: account }),
    /** Everything of it goes; the answer says what did, what will and what stays. For the administrator alone. */
    delete: (id: string, call: CallOptions = {}) =>
      http.json<AccountDeleted>(`/v1/accounts/${segment(id)}`, { ...call, method: "DELETE" }),
  };
}

function apiKeys(http: Http) {
  return {
    list: (options: ListOptions = {}): AsyncIterable<ApiKey> => pages<ApiKey>(http, "/v1/api_keys", options),
    create: (key: { name: string }, call: CallOptions = {}) =>
      http.json<ApiKeyCreated>("/v1/api_keys", { ...call, method: "POST", body: key }),
    /** From then on the key is refused. */
    revoke: (id: string, call: CallOptions = {}) =>
      http.json<ApiKey>(`/v1/api_keys/${segment(id)}`, { ...call, method: "DELETE" }),
  };
}

function workspaces(http: Http) {
  const path = (id: string) => `/v1/workspaces/${segment(id)}`;
  return {
    list: (options: ListOptions = {}): AsyncIterable<Workspace> => pages<Workspace>(http, "/v1/workspaces", options),
    create: (workspace: { name: string }, call: CallOptions = {}) =>
      http.json<Workspace>("/v1/workspaces", { ...call, method: "POST", body: workspace }),
    get: (id: string, call: CallOptions = {}) => http.json<Workspace>(path(id), call),
    rename: (id: string, name: string, call: CallOptions = {}) =>
      http.json<Workspace>(path(id), { ...call, method: "POST", body: { name } }),
    /** Its files go with it; the answer says what else did. */
    delete: (id: string, call: CallOptions = {}) =>
      http.json<WorkspaceDeleted>(path(id), { ...call, method: "DELETE" }),
    /** What is always allowed in it. */
    rules: (id: string, options: ListOptions = {}): AsyncIterable<PermissionRule> =>
      pages<PermissionRule>(http, `${path(id)}/permission_rules`, options),
    /** Asked again from the next turn on. */
    deleteRule: (id: string, ruleId: string, call: CallOptions = {}) =>
      http.json<PermissionRule>(`${path(id)}/permission_rules/${segment(ruleId)}`, { ...call, method: "DELETE" }),
  };
}

/** A session's queue. What Claude has taken cannot be changed any more: `message_taken`. */
function messages(http: Http) {
  const path = (sessionId: string) => `/v1/sessions/${segment(sessionId)}/messages`;
  const update = (sessionId: string, messageId: string, body: MessageUpdate, call: CallOptions) =>
    http.json<Message>(`${path(sessionId)}/${segment(messageId)}`, { ...call, method: "POST", body });
  return {
    /** What waits or is being worked on, oldest first. */
    list: async (sessionId: string, call: CallOptions = {}) =>
      (await http.json<{ data: Message[] }>(path(sessionId), call)).data,
    /** Other words for one that waits. */
    edit: (
      sessionId: string,
      messageId: string,
      content: string | NonNullable<MessageUpdate["content"]>,
      call: CallOptions = {},
    ) =>
      update(
        sessionId,
        messageId,
        { content: typeof content === "string" ? [{ type: "text", text: content }] : content },
        call,
      ),
    /** It runs at once: the turn that runs is stopped for it. */
    steer: (sessionId: string, messageId: string, call: CallOptions = {}) =>
      update(sessionId, messageId, { delivery: "now" }, call),
    /** It will not run. */
    remove: (sessionId: string, messageId: string, call: CallOptions = {}) =>
      http.json<MessageRemoved>(`${path(sessionId)}/${segment(messageId)}`, { ...call, method: "DELETE" }),
  };
}

/** What runs beside a session's turns; the session itself lists it. */
function background(http: Http) {
  return {
    /** Claude is told, and may go on by itself. */
    stop: (sessionId: string, taskId: string, call: CallOptions = {}) =>
      http.json<TaskStopped>(`/v1/sessions/${segment(sessionId)}/background/${segment(taskId)}/stop`, {
        ...call,
        method: "POST",
        body: {},
      }),
  };
}

/** What a session's Claude Code says of itself, without its model. */
function claude(http: Http) {
  return {
    /** `start`: starts it where it does not live. `query`: of `files`. Throws `not_started` where nothing is known. */
    get: <N extends ClaudeStateName>(
      sessionId: string,
      name: N,
      { start = false, query, ...call }: CallOptions & { start?: boolean; query?: string } = {},
    ) =>
      http.json<ClaudeState<N>>(`/v1/sessions/${segment(sessionId)}/claude/${name}`, {
        ...call,
        query: { query, ...(start ? { start: "true" } : {}) },
      }),
  };
}

function sandboxes(http: Http) {
  const path = (id: string) => `/v1/sandboxes/${segment(id)}`;
  return {
    list: (options: ListOptions = {}): AsyncIterable<Sandbox> => pages<Sandbox>(http, "/v1/sandboxes", options),
    stop: (id: string, call: CallOptions = {}) =>
      http.json<Sandbox>(`${path(id)}/stop`, { ...call, method: "POST", body: {} }),
    /** Starts a command; resolves when the server took it. */
    async exec(id: string, command: readonly string[], options: ExecOptions = {}): Promise<Execution> {
      const abort = new AbortController();
      const signal = options.signal === undefined ? abort.signal : AbortSignal.any([abort.signal, options.signal]);
      const response = await http.open(`${path(id)}/exec`, {
        method: "POST",
        accept: "text/event-stream",
        signal,
        body: { command, timeout_ms: options.timeoutMs, user: options.user },
      });
      return new Execution(response.body ?? new Blob([]).stream(), { abort, signal });
    },
  };
}

/** Shells with a screen in a workspace's sandbox. What goes through one is a WebSocket: `attach` of the API. */
function terminals(http: Http) {
  const path = (workspaceId: string) => `/v1/workspaces/${segment(workspaceId)}/terminals`;
  const one = (workspaceId: string, id: string) => `${path(workspaceId)}/${segment(id)}`;
  return {
    /** Of the sandbox that runs; oldest first. */
    list: async (workspaceId: string, call: CallOptions = {}) =>
      (await http.json<{ data: Terminal[] }>(path(workspaceId), call)).data,
    /** A workspace without a sandbox gets one, which takes a while. */
    create: (workspaceId: string, size: TerminalSize, call: CallOptions = {}) =>
      http.json<Terminal>(path(workspaceId), { ...call, method: "POST", body: size }),
    resize: (workspaceId: string, id: string, size: TerminalSize, call: CallOptions = {}) =>
      http.json<Terminal>(`${one(workspaceId, id)}/resize`, { ...call, method: "POST", body: size }),
    /** With all that runs in it. */
    end: (workspaceId: string, id: string, call: CallOptions = {}) =>
      http.json<{ id: string; deleted: true }>(one(workspaceId, id), { ...call, method: "DELETE" }),
    /** Where a WebSocket attaches. `writer` names who types: what it sends again is typed once. */
    attachUrl: (workspaceId: string, id: string, query: { offset: number; writer: string }) =>
      http.url(`${one(workspaceId, id)}/attach`, query).replace(/^http/, "ws"),
  };
}

function credential(http: Http) {
  return {
    /** The server's Anthropic key; it goes to the gateway, never into a sandbox. */
    set: (anthropicKey: string, call: CallOptions = {}) =>
      http.json<Status>("/v1/credential", { ...call, method: "PUT", body: { api_key: anthropicKey } }),
    remove: (call: CallOptions = {}) => http.json<Status>("/v1/credential", { ...call, method: "DELETE" }),
  };
}
