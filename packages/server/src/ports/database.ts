import type { ClaudeStateName } from "@holdfast/protocol";
import { type Generated, type Kysely, PostgresAdapter, sql, type Transaction } from "kysely";

/**
 * The tables. Times are milliseconds since 1970; columns named `*_json` hold JSON text (which never contains a NUL or
 * a lone surrogate: `JSON.stringify` escapes both), free text goes through `encodeText`.
 */
export interface Schema {
  accounts: {
    id: string;
    /** A deleted one's has `~` and its id at the end: the name is free again. */
    name: string;
    created_at: number;
    /** Since when nobody acts for it; the row goes when all that was its own is gone. */
    deleted_at: number | null;
  };
  api_keys: {
    id: string;
    account_id: string;
    /** SHA-256 of the key, hex. */
    hash: string;
    last4: string;
    /** `encodeText`. */
    name: string;
    /** The key's beginning. */
    prefix: string;
    created_at: number;
    last_used_at: number | null;
    revoked_at: number | null;
  };
  /** Browsers that are logged in. */
  logins: {
    id: string;
    account_id: string;
    /** The key that it was made with; null: a link. */
    key_id: string | null;
    created_at: number;
    expires_at: number;
  };
  /** Login links that were used, until they would have expired. */
  used_login_links: { nonce: string; expires_at: number };
  workspaces: {
    id: string;
    account_id: string;
    /** A deleted one's has `~` and its id at the end: the name is free again. */
    name: string;
    files_volume: string;
    state_volume: string;
    created_at: number;
    deleted_at: number | null;
    /** When the volumes of a deleted one were gone. */
    purged_at: number | null;
    /** Which server works on it and its sessions; null, or one that has no row: nobody does. */
    server_id: string | null;
  };
  /** Servers that are alive, or were until a moment ago. */
  servers: {
    /** A new one for each process, and for one that was given up for dead. */
    id: string;
    /** Counts up for as long as it lives. */
    beats: number;
    host: string;
    started_at: number;
  };
  sessions: {
    id: string;
    account_id: string;
    workspace_id: string;
    /** `encodeText`. */
    title: string | null;
    status: SessionStatus;
    metadata_json: string;
    /** The codec's memory between two lines. */
    mapper_json: string | null;
    /** Fencing token: who writes with a lower one is refused. */
    generation: number;
    last_seq: number;
    cost_usd: number;
    usage_json: string;
    claude_session_id: string;
    /** Whether Claude Code may have stored this session: then `--resume`, else `--session-id`. */
    claude_started: number;
    process_id: string | null;
    agent_id: string;
    agent_version: number;
    /** A `SessionAgent`; null: the default agent. */
    agent_json: string | null;
    environment_id: string;
    archived_at: number | null;
    /** As Claude Code's lines, an answer or a client had it last; null: as the agent's launch has it. */
    permission_mode: string | null;
    /** What it was set to; null: as the agent, or Claude Code itself, has it. */
    model: string | null;
    effort: string | null;
    /** Of the event with which a client changed its settings last, and of the one with which its mode; 0: none did. */
    settings_seq: Generated<number>;
    mode_seq: Generated<number>;
    /** `BackgroundTask[]` of its process; null: none. */
    background_json: string | null;
    /** `Todo[]`; null: none. */
    todos_json: string | null;
    /** The reader wants the turn that Claude began by itself to end, and the agents that work. */
    stop_requested_at: number | null;
    created_at: number;
    updated_at: number;
  };
  agents: {
    id: string;
    account_id: string;
    /** The newest. */
    version: number;
    created_at: number;
    archived_at: number | null;
  };
  agent_versions: {
    agent_id: string;
    version: number;
    /** An `AgentDefinition`. */
    definition_json: string;
    metadata_json: string;
    created_at: number;
  };
  environments: {
    id: string;
    account_id: string;
    /** `encodeText`. */
    name: string;
    /** `encodeText`. */
    description: string | null;
    config_json: string;
    commands_json: string;
    metadata_json: string;
    created_at: number;
    updated_at: number;
    archived_at: number | null;
  };
  /** Questions of the CLI: whether a tool may run, which of these, is this plan right. */
  permissions: {
    session_id: string;
    process_id: string;
    /** The CLI's. */
    request_id: string;
    /** Of the `agent.tool_use` event. */
    event_id: string;
    /** The tool's, as the CLI will run it. */
    input_json: string;
    state: PermissionState;
    /** What the CLI is told. */
    answer_json: string | null;
    created_at: number;
    /** A `StoredQuestion`; null for one that was asked by an older server. */
    question_json: string | null;
    /** A `Resolution`, once it is no longer open. */
    resolution_json: string | null;
  };
  /** What is always allowed in a workspace. */
  permission_rules: {
    id: string;
    account_id: string;
    workspace_id: string;
    /** `encodeText`. */
    rule: string;
    /** Where it was allowed. */
    session_id: string;
    /** Who allowed it; `encodeText`. */
    created_by: string;
    created_at: number;
    deleted_at: number | null;
  };
  events: { session_id: string; seq: number; id: string; type: string; event_json: string; created_at: number };
  /** The CLI's lines, those of one commit together. */
  raw_batches: {
    session_id: string;
    process_id: string;
    /** Of the first line's first byte in the process's standard output. */
    offset: number;
    /** How many, blobs included. */
    lines: number;
    /** Zstandard of those that are no blobs, with newlines between them. */
    bytes: Uint8Array;
    /** `BlobRef[]`; null: none. */
    blobs_json: string | null;
  };
  /** Large lines, by the SHA-256 of their bytes (hex). */
  blobs: {
    session_id: string;
    hash: string;
    /** Of the line. */
    size: number;
    /** Zstandard. */
    bytes: Uint8Array;
  };
  processes: {
    id: string;
    session_id: string;
    sandbox_id: string;
    generation: number;
    /** Everything below is committed. */
    stdout_offset: number;
    stderr_offset: number;
    state: ProcessState;
    exit_code: number | null;
    /** It was told to end: nothing is asked of it any more. */
    ending_at: number | null;
    /** `ToldSettings`; null: an older server has started it. */
    settings_json: string | null;
    created_at: number;
  };
  sandboxes: {
    /** Ours: the intent. */
    id: string;
    workspace_id: string;
    account_id: string;
    state: SandboxState;
    /** The provider's, once known. */
    provider_id: string | null;
    tags_json: string;
    created_at: number;
    updated_at: number;
    /** When the gateway had been told that its tokens are worth nothing any more. */
    revoked_at: number | null;
  };
  /** Sandboxes with our installation's tag that no row of ours knows. */
  strays: {
    provider_id: string;
    /** Of its tags. */
    account_id: string;
    workspace_id: string;
    first_seen_at: number;
    /** It is not ended before. */
    next_try_at: number;
    /** `encodeText`. What was last tried, or why it is kept. */
    detail: string | null;
  };
  messages: {
    /** A UUID: also the `uuid` of the line on Claude's stdin. */
    id: string;
    session_id: string;
    event_id: string;
    content_json: string;
    state: MessageState;
    delivery: "next" | "now";
    /** The client's own name for it. */
    client_id: string | null;
    created_at: number;
    edited_at: number | null;
    /** It never ran. */
    removed_at: number | null;
    /** The reader wants its turn to end. */
    stop_requested_at: number | null;
  };
  idempotency: {
    account_id: string;
    /** `key:<scope>:<Idempotency-Key>` or `body:<scope>:<hash of the body>`. */
    key: string;
    body_hash: string;
    /** Ids only. */
    response_json: string;
    /** It is forgotten with this session. */
    session_id: string | null;
    created_at: number;
  };
  /** Times at which Claude wants to be woken. */
  wakeups: {
    id: string;
    session_id: string;
    /** In which it was asked for. */
    process_id: string;
    kind: "once" | "cron";
    /** Claude's name of a job; null: it is the one without a name. */
    claude_id: string | null;
    /** `encodeText`, as `reason`. */
    prompt: string;
    reason: string;
    /** Null: it happens once. */
    cron: string | null;
    state: WakeupState;
    due_at: number;
    expires_at: number | null;
    created_at: number;
  };
  /** What Claude Code said last of itself. */
  claude_state: {
    session_id: string;
    name: ClaudeStateName;
    /** `encodeText`. Of `files`; else empty. */
    query: string;
    /** As routes give it, without when it was known. */
    answer_json: string;
    as_of: number;
  };
  /** Conversations of deleted sessions that are still in their workspace's state volume. */
  erasures: {
    workspace_id: string;
    claude_session_id: string;
    created_at: number;
  };
  syncs: {
    id: string;
    account_id: string;
    workspace_id: string;
    session_id: string;
    /** Unix seconds; unique per account: names the prefix. */
    timestamp: number;
    state: SyncState;
    /** From `committing` on: the last object, as it is, or is about to be, in the bucket. */
    manifest_json: string | null;
    created_at: number;
  };
}

export type SessionStatus = "idle" | "running" | "terminated";
export type WakeupState = "pending" | "fired" | "cancelled";
export type ProcessState = "starting" | "running" | "ended";
export type SandboxState = "wanted" | "creating" | "running" | "ended";
/** `queued` here, `sent` to Claude's stdin, `taken` by Claude (it echoed it), `done` with its turn. */
export type MessageState = "queued" | "sent" | "taken" | "done";
/** `answered` here, `delivered` to the CLI; `closed`: nobody waits for an answer any more. */
export type PermissionState = "pending" | "answered" | "delivered" | "closed";
/** Once `committing` a save is as good as done: whoever takes over writes the same manifest. */
export type SyncState = "running" | "committing" | "done" | "warning" | "failed";

export type Database = Kysely<Schema>;
/** A `Database`, too; what runs on it is committed or rolled back as one. */
export type Tx = Transaction<Schema>;

/** Which of the two it is. All queries are the same; only locks and how much one statement takes differ. */
export function isPostgres(db: Database): boolean {
  return db.getExecutor().adapter instanceof PostgresAdapter;
}

/**
 * After rows were deleted: what the database keeps of them beside its tables goes, too. SQLite's write-ahead log is
 * written back and emptied (the pages themselves are overwritten by `secure_delete`); false where somebody else was
 * reading, so that it is worth another try. PostgreSQL keeps dead rows until its own VACUUM, and its WAL as configured.
 */
export async function dropDeleted(db: Database): Promise<boolean> {
  if (isPostgres(db)) return true;
  const { rows } = await sql<{ busy: number }>`PRAGMA wal_checkpoint(TRUNCATE)`.execute(db);
  return rows[0]?.busy === 0;
}

/**
 * For `$call`: the rows stay as they are until the transaction ends. A SQLite transaction has the whole database for
 * itself anyway.
 */
export function locked(tx: Tx): <Q extends { forNoKeyUpdate(): Q }>(query: Q) => Q {
  return (query) => (isPostgres(tx) ? query.forNoKeyUpdate() : query);
}

/** Until the transaction ends nobody else gets past here with the same name: for what has no row yet. */
export async function lockName(tx: Tx, name: string): Promise<void> {
  if (isPostgres(tx)) await sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(tx);
}

/**
 * Rows in as many as one INSERT takes. PostgreSQL answers each statement over the network; SQLite is fastest with one
 * prepared statement for each row.
 */
export function* portions<T>(db: Database, rows: readonly T[]): Generator<readonly T[]> {
  const size = isPostgres(db) ? 500 : 1;
  for (let at = 0; at < rows.length; at += size) yield rows.slice(at, at + size);
}

/** The database does not answer, or its connection broke: whether a COMMIT in flight was done is not known. */
export class DatabaseAwayError extends Error {
  override name = "DatabaseAwayError";
  /** It is there, but a time limit was hit. */
  readonly busy: boolean;

  constructor({ cause, busy = false }: { cause: unknown; busy?: boolean }) {
    super(`the database does not answer: ${cause instanceof Error ? cause.message : cause}`, { cause });
    this.busy = busy;
  }
}

/** Whether a failure is that the database does not answer, anywhere down its causes. */
export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error instanceof DatabaseAwayError || isDatabaseAway(error.cause);
}

/** The database cannot be used at all, and what to do about it. */
export class DatabaseOpenError extends Error {
  override name = "DatabaseOpenError";
  readonly todo: string;

  constructor(message: string, todo: string, options?: ErrorOptions) {
    super(message, options);
    this.todo = todo;
  }
}
