import type { Kysely, Transaction } from "kysely";

/**
 * The tables. Times are milliseconds since 1970; columns named `*_json` hold JSON text (which never contains a NUL or
 * a lone surrogate: `JSON.stringify` escapes both), free text goes through `encodeText`.
 */
export interface Schema {
  accounts: { id: string; name: string; created_at: number };
  api_keys: {
    id: string;
    account_id: string;
    /** SHA-256 of the key, hex. */
    hash: string;
    last4: string;
    created_at: number;
    last_used_at: number | null;
  };
  workspaces: {
    id: string;
    account_id: string;
    name: string;
    files_volume: string;
    state_volume: string;
    created_at: number;
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
    created_at: number;
    updated_at: number;
  };
  events: { session_id: string; seq: number; id: string; type: string; event_json: string; created_at: number };
  raw_lines: {
    session_id: string;
    process_id: string;
    /** Of the line's first byte in the process's standard output. */
    offset: number;
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
  };
  messages: {
    /** A UUID: also the `uuid` of the line on Claude's stdin. */
    id: string;
    session_id: string;
    event_id: string;
    content_json: string;
    state: MessageState;
    created_at: number;
  };
  idempotency: {
    account_id: string;
    /** `key:<scope>:<Idempotency-Key>` or `body:<scope>:<hash of the body>`. */
    key: string;
    body_hash: string;
    response_json: string;
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
    created_at: number;
  };
}

export type SessionStatus = "idle" | "running" | "terminated";
export type ProcessState = "starting" | "running" | "ended";
export type SandboxState = "wanted" | "creating" | "running" | "ended";
/** `queued` here, `sent` to Claude's stdin, `taken` by Claude (it echoed it), `done` with its turn. */
export type MessageState = "queued" | "sent" | "taken" | "done";
export type SyncState = "running" | "done" | "warning" | "failed";

export type Database = Kysely<Schema>;
/** A `Database`, too; what runs on it is committed or rolled back as one. */
export type Tx = Transaction<Schema>;
