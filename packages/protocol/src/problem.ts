/**
 * Every failure that a client can be told of. `anthropicType` is what Managed Agents routes answer with, `remedy` what
 * the reader can do about it.
 */
export interface ProblemEntry {
  status: number;
  title: string;
  anthropicType:
    | "invalid_request_error"
    | "authentication_error"
    | "permission_error"
    | "not_found_error"
    | "request_too_large"
    | "rate_limit_error"
    | "timeout_error"
    | "overloaded_error"
    | "api_error"
    | "conflict_error";
  retryable: boolean;
  remedy: string;
}

const entry = (
  status: number,
  anthropicType: ProblemEntry["anthropicType"],
  title: string,
  remedy: string,
  retryable = false,
): ProblemEntry => ({ status, anthropicType, title, remedy, retryable });

export const problems = {
  request_malformed: entry(
    400,
    "invalid_request_error",
    "The request body is not valid JSON",
    "Send a JSON object encoded as UTF-8 with content-type application/json.",
  ),
  request_invalid: entry(
    400,
    "invalid_request_error",
    "The request has a field that is not accepted",
    "Correct the field that `errors` names.",
  ),
  prompt_empty: entry(
    400,
    "invalid_request_error",
    "The message has no text",
    "Send at least one character that is not white space.",
  ),
  prompt_too_large: entry(
    413,
    "request_too_large",
    "The message is too large",
    "Keep a message below 1 MiB of text; put larger material into a file of the workspace.",
  ),
  body_too_large: entry(
    413,
    "request_too_large",
    "The request body is too large",
    "Keep a request below what the route takes: 64 KiB, where messages, agents, environments and commands take more, 4 MiB at the most.",
  ),
  target_refused: entry(
    400,
    "invalid_request_error",
    "The request names another address than a path of this server",
    "Ask for a path (`GET /v1/sessions`); this server is no proxy.",
  ),
  not_supported: entry(
    400,
    "invalid_request_error",
    "This field or value is not supported by Holdfast",
    "Leave the named field out; docs/managed-agents.md says what is supported.",
  ),
  key_missing: entry(
    401,
    "authentication_error",
    "No API key or session cookie was sent",
    "Send your key as `x-api-key` or `Authorization: Bearer`; `holdfast account add NAME` prints one.",
  ),
  admin_only: entry(
    403,
    "permission_error",
    "Only the installation's administrator may do this",
    "Use a key of the account `default`, or the browser that the start link logged in.",
  ),
  key_wrong: entry(
    401,
    "authentication_error",
    "The API key or login is not valid",
    "Use a key printed by `holdfast account add NAME`, or log in again by a link that `holdfast login-url` prints.",
  ),
  login_link_used: entry(
    401,
    "authentication_error",
    "This login link was used before or is too old",
    "Each link works once, for a quarter of an hour; `holdfast login-url` prints another.",
  ),
  host_refused: entry(
    403,
    "permission_error",
    "This host name is not served",
    "Open Holdfast by the address that it printed at its start.",
  ),
  origin_refused: entry(
    403,
    "permission_error",
    "Requests from this web page are refused",
    "Open Holdfast itself; other sites may not call it from a browser.",
  ),
  route_not_found: entry(
    404,
    "not_found_error",
    "There is nothing at this path",
    "See /docs for the paths that exist.",
  ),
  method_not_allowed: entry(
    405,
    "invalid_request_error",
    "This path does not take this method",
    "See /docs for the methods of each path.",
  ),
  session_not_found: entry(
    404,
    "not_found_error",
    "This account has no session with this id",
    "List the sessions with GET /v1/sessions.",
  ),
  agent_not_found: entry(
    404,
    "not_found_error",
    "This account has no agent with this id",
    "List the agents with GET /v1/agents.",
  ),
  agent_archived: entry(
    409,
    "conflict_error",
    "This agent is archived",
    "Use another agent, or create a new one; sessions that have it go on.",
  ),
  agent_version_conflict: entry(
    409,
    "conflict_error",
    "The agent has been changed meanwhile",
    "Retrieve the agent, look at what changed, and update again with its version.",
  ),
  environment_not_found: entry(
    404,
    "not_found_error",
    "This account has no environment with this id",
    "List the environments with GET /v1/environments.",
  ),
  environment_archived: entry(
    400,
    "invalid_request_error",
    "This environment is archived",
    "Use another environment, or create a new one; sessions that have it go on.",
  ),
  environment_in_use: entry(
    409,
    "conflict_error",
    "Sessions use this environment",
    "Archive it, or archive or delete its sessions first.",
  ),
  workspace_elsewhere: entry(
    409,
    "conflict_error",
    "The workspace's files are with another installation",
    "Start Holdfast with the data directory (its `secrets.json`) that made the workspace. Two installations must not share a database; more servers of one installation may: docs/several-servers.md.",
  ),
  environment_busy: entry(
    409,
    "conflict_error",
    "The workspace's sandbox runs another environment",
    "Wait until its other sessions are idle, or put this session on a workspace of its own with `holdfast.workspace`.",
    true,
  ),
  session_archived: entry(
    409,
    "conflict_error",
    "This session is archived",
    "Start a new session; the workspace and its files are still there.",
  ),
  permission_rule_not_found: entry(
    404,
    "not_found_error",
    "There is no such rule in this workspace",
    "List the workspace's permission rules: it may have been deleted already.",
  ),
  confirmation_late: entry(
    409,
    "conflict_error",
    "This question has been answered already, or is no longer open",
    "Read the session's events: the answer that counted, or what closed the question, is there.",
  ),
  message_not_found: entry(
    404,
    "not_found_error",
    "No such message waits in this session",
    "List what waits with `GET /v1/sessions/{id}/messages`; a message that was worked on, or removed, is there no more.",
  ),
  task_not_found: entry(
    404,
    "not_found_error",
    "No such task runs in the background of this session",
    "`holdfast.background` of `GET /v1/sessions/{id}` lists what runs; it may have come to its end.",
  ),
  message_taken: entry(
    409,
    "conflict_error",
    "Claude has this message already",
    "It cannot be changed any more. Stop its turn with `user.interrupt`, or send another message.",
  ),
  too_many_messages: entry(
    429,
    "rate_limit_error",
    "Too many messages wait in this session",
    "Wait until the session has worked on some of them, then send again.",
    true,
  ),
  workspace_not_found: entry(
    404,
    "not_found_error",
    "This account has no workspace with this name",
    "Create it first, or leave `holdfast.workspace` out for the default one.",
  ),
  workspace_name_invalid: entry(
    400,
    "invalid_request_error",
    "This is not a workspace name",
    "Use 1 to 64 characters of a-z, 0-9, `-` and `_`, beginning with a letter or digit.",
  ),
  workspace_exists: entry(409, "conflict_error", "A workspace with this name exists", "Choose another name."),
  workspace_busy: entry(
    409,
    "conflict_error",
    "A turn runs in this workspace",
    "Interrupt the turn or wait for its end, then try again.",
    true,
  ),
  workspace_is_default: entry(
    409,
    "conflict_error",
    "The default workspace cannot be deleted or renamed",
    "Delete its files instead; every account keeps one workspace.",
  ),
  api_key_not_found: entry(
    404,
    "not_found_error",
    "This account has no API key with this id",
    "List the keys with GET /v1/api_keys.",
  ),
  sandbox_not_found: entry(
    404,
    "not_found_error",
    "This account has no sandbox with this id",
    "List the sandboxes with GET /v1/sandboxes.",
  ),
  sandbox_ended: entry(
    409,
    "conflict_error",
    "This sandbox has ended",
    "Send a message in one of the workspace's sessions: that starts a sandbox on the same files.",
  ),
  terminal_not_found: entry(
    404,
    "not_found_error",
    "This workspace has no terminal with this id",
    "List them with GET /v1/workspaces/{id}/terminals; a terminal is gone with its sandbox.",
  ),
  terminal_ended: entry(409, "conflict_error", "This terminal has ended", "Make another one."),
  too_many_terminals: entry(
    409,
    "conflict_error",
    "This workspace has as many terminals as it may have",
    "End one of them (`holdfast sh --list`, DELETE /v1/workspaces/{id}/terminals/{terminal_id}).",
  ),
  too_many_attached: entry(
    409,
    "conflict_error",
    "As many are attached to this workspace's terminals as may be",
    "Leave one of them first.",
  ),
  terminals_unsupported: entry(
    409,
    "conflict_error",
    "The workspace's sandbox was made by a version that knows no terminals",
    "End the sandbox (POST /v1/sandboxes/{id}/stop) when nothing runs in it; the next one has them. Files stay.",
  ),
  terminal_failed: entry(
    502,
    "api_error",
    "No terminal could be made in the sandbox",
    "Try again; if it fails again, end the sandbox: the next one is made from the current image.",
    true,
  ),
  websocket_refused: entry(
    400,
    "invalid_request_error",
    "This route is no WebSocket",
    "Ask for it without `Upgrade: websocket`.",
  ),
  websocket_required: entry(
    426,
    "invalid_request_error",
    "This route is a WebSocket",
    "Ask for it with `Connection: Upgrade` and `Upgrade: websocket`.",
  ),
  exec_time_over: entry(
    408,
    "invalid_request_error",
    "The command's time limit is over",
    "Give it more time (`timeout_ms`, `--timeout`), or let it print less: what was not read by then is missing.",
  ),
  account_not_found: entry(404, "not_found_error", "There is no such account", "See `holdfast account list`."),
  account_is_default: entry(
    409,
    "conflict_error",
    "The account `default` cannot be deleted",
    "It administers the installation; delete its sessions and workspaces instead.",
  ),
  account_name_invalid: entry(
    400,
    "invalid_request_error",
    "This is not an account name",
    "Use 1 to 64 characters: letters, digits, space and . _ @ -",
  ),
  account_exists: entry(409, "conflict_error", "An account with this name exists", "Choose another name."),
  session_terminated: entry(
    409,
    "conflict_error",
    "This session has ended for good",
    "Start a new session; the events of this one can still be read.",
  ),
  credential_invalid: entry(
    400,
    "invalid_request_error",
    "This does not look like an Anthropic API key",
    "Paste the whole key; it begins with sk-ant-.",
  ),
  gateway_unavailable: entry(
    503,
    "api_error",
    "The model gateway does not answer",
    "Look at the output of `script/start`; restart it if the gateway has ended.",
    true,
  ),
  sandbox_unavailable: entry(
    503,
    "api_error",
    "No sandbox could be started",
    "Send the message again; if it stays, look at the engine's output for the cause.",
    true,
  ),
  image_build_failed: entry(
    503,
    "api_error",
    "The sandbox image could not be built",
    "The build log in the session's steps names the failing command.",
    true,
  ),
  permissions_failed: entry(
    503,
    "api_error",
    "The workspace could not be made writable",
    "Send the message again; the step's output says what failed.",
    true,
  ),
  claude_start_failed: entry(
    503,
    "api_error",
    "Claude Code did not start",
    "The text below is what it printed; mend that and send the message again.",
    true,
  ),
  not_started: entry(
    409,
    "conflict_error",
    "Claude Code has not been started in this session, or was never asked this",
    "Send a message first, or ask with `start=true`: that starts it without asking a model.",
  ),
  claude_did_not_answer: entry(
    504,
    "timeout_error",
    "Claude Code did not answer in time",
    "Ask again in a moment; if it stays, stop the session with `user.interrupt`: the next message starts Claude Code anew.",
    true,
  ),
  claude_answer_refused: entry(
    502,
    "api_error",
    "Claude Code refuses to say this",
    "Its own words are in the detail; an older Claude Code in a sandbox that still runs may not know the question.",
  ),
  claude_answer_too_large: entry(
    502,
    "api_error",
    "What Claude Code says is too large to be given",
    "Ask for less where the question has a `query`; the same can be asked in a shell of the sandbox.",
  ),
  spool_full: entry(
    507,
    "api_error",
    "The sandbox's disk is full",
    "What Claude Code said could not be kept there, so it was stopped. Free space in the workspace, or stop the sandbox, and send the message again.",
    true,
  ),
  turn_interrupted: entry(
    409,
    "api_error",
    "The turn was cut off before its end",
    "Everything shown is kept. Send a message to go on from here.",
    true,
  ),
  disk_full: entry(
    507,
    "api_error",
    "The disk is full",
    "Free space, then send the message again; what was stored before is kept.",
    true,
  ),
  database_unavailable: entry(
    503,
    "overloaded_error",
    "The database does not answer",
    "Send the same request again in a moment, with the same Idempotency-Key: it counts once. What was stored is kept.",
    true,
  ),
  consumer_too_slow: entry(
    503,
    "overloaded_error",
    "This reader fell too far behind",
    "Open the stream again from the last event you have.",
    true,
  ),
  not_ready: entry(
    503,
    "api_error",
    "A part of the installation does not answer",
    "`errors` names the part; look at the output of `script/start` for its cause.",
    true,
  ),
  internal: entry(
    500,
    "api_error",
    "Something broke inside Holdfast",
    "Try again; if it stays, report the request id with the server's log.",
    true,
  ),
} as const satisfies Record<string, ProblemEntry>;

export type ProblemCode = keyof typeof problems;

export interface ProblemOptions {
  /** What happened in this case, for the reader. */
  detail?: string;
  /** Fields that were wrong. `path` is dotted. */
  errors?: { path: string; message: string }[];
  cause?: unknown;
}

const brand = Symbol.for("holdfast.AppError");

/** The one error class that becomes an answer; everything else is a bug and answered as `internal`. */
export class AppError extends Error {
  override name = "AppError";
  readonly [brand] = true;
  readonly code: ProblemCode;
  readonly errors: { path: string; message: string }[];

  constructor(code: ProblemCode, options: ProblemOptions = {}) {
    super(options.detail ?? problems[code].title, { cause: options.cause });
    this.code = code;
    this.errors = options.errors ?? [];
  }

  get entry(): ProblemEntry {
    return problems[this.code];
  }
}

/** By brand, not by class: two copies of this package would break `instanceof`. */
export function isAppError(error: unknown): error is AppError {
  return typeof error === "object" && error !== null && brand in error;
}
