import { randomUUID } from "node:crypto";
import {
  AppError,
  isId,
  maxPromptBytes,
  type NewEvent,
  newId,
  type SendEvents,
  type Session,
  type SessionCreate,
  type SessionEvent,
  workspaceMetadataKey,
} from "@holdfast/protocol";
import type { Selectable } from "kysely";
import type { Clock } from "../../ports/clock.ts";
import type { Database, Schema } from "../../ports/database.ts";
import type { EventLog, LogTx } from "../../ports/event-log.ts";
import { decodeText, encodeText } from "../text.ts";
import { checkAgentAndEnvironment, defaultAgent, defaultEnvironmentId } from "./agent.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import { once, type RequestIdentity } from "./idempotency.ts";
import { defaultWorkspaceName, ensureWorkspace } from "./workspaces.ts";

/** What happens to sessions beside the database. */
export interface TurnControl {
  /** There may be messages to work on. */
  wake(sessionId: string): void;
  /** Stops the running turn; nothing happens when there is none. */
  interrupt(sessionId: string): void;
}

export interface SessionsDeps {
  db: Database;
  log: EventLog;
  clock: Clock;
  installationId: string;
  turns: TurnControl;
}

export interface Page<T> {
  data: T[];
  next_page: string | null;
}

export interface ListEvents {
  limit: number;
  order: "asc" | "desc";
  page?: string;
  types?: readonly string[];
}

type Row = Selectable<Schema["sessions"]> & { workspace_name: string };

export class Sessions {
  readonly #deps: SessionsDeps;

  constructor(deps: SessionsDeps) {
    this.#deps = deps;
  }

  async create(accountId: string, input: SessionCreate, identity: RequestIdentity): Promise<Session> {
    checkAgentAndEnvironment(input);
    const { db, clock, installationId } = this.#deps;
    const nowMs = clock.now();
    const { result } = await db.transaction().execute((tx) =>
      once(tx, { accountId, scope: "create", identity, nowMs }, async () => {
        const name = input.metadata?.[workspaceMetadataKey] ?? defaultWorkspaceName;
        const workspace = await ensureWorkspace(tx, { accountId, name, installationId, nowMs });
        const id = newId("session", nowMs);
        await tx
          .insertInto("sessions")
          .values({
            id,
            account_id: accountId,
            workspace_id: workspace.id,
            title: typeof input.title === "string" ? encodeText(input.title) : null,
            status: "idle",
            metadata_json: JSON.stringify(input.metadata ?? {}),
            mapper_json: null,
            generation: 0,
            last_seq: 0,
            cost_usd: 0,
            usage_json: "{}",
            claude_session_id: randomUUID(),
            claude_started: 0,
            process_id: null,
            created_at: nowMs,
            updated_at: nowMs,
          })
          .execute();
        return id;
      }),
    );
    return await this.get(accountId, result);
  }

  async get(accountId: string, sessionId: string): Promise<Session> {
    return toSession(await this.#row(accountId, sessionId));
  }

  /** Newest first unless asked otherwise. */
  async list(accountId: string, options: { limit: number; order: "asc" | "desc"; page?: string }) {
    const { limit, order, page } = options;
    let query = this.#rows().where("sessions.account_id", "=", accountId);
    if (page !== undefined) {
      const last = String(decodeCursor(page, { of: "sessions", order }));
      query = query.where("sessions.id", order === "asc" ? ">" : "<", last);
    }
    const rows = await query
      .orderBy("sessions.id", order)
      .limit(limit + 1)
      .execute();
    const data = rows.slice(0, limit).map(toSession);
    const last = data.at(-1)?.id;
    const next = rows.length > limit && last !== undefined ? encodeCursor({ of: "sessions", order, last }) : null;
    return { data, next_page: next, prev_page: null };
  }

  async events(accountId: string, sessionId: string, options: ListEvents): Promise<Page<SessionEvent>> {
    await this.#row(accountId, sessionId);
    const { limit, order, page, types } = options;
    let query = this.#deps.db.selectFrom("events").select(["seq", "event_json"]).where("session_id", "=", sessionId);
    if (types !== undefined && types.length > 0) query = query.where("type", "in", types);
    if (page !== undefined) {
      const last = Number(decodeCursor(page, { of: sessionId, order }));
      query = query.where("seq", order === "asc" ? ">" : "<", last);
    }
    const rows = await query
      .orderBy("seq", order)
      .limit(limit + 1)
      .execute();
    const shown = rows.slice(0, limit);
    const last = shown.at(-1)?.seq;
    return {
      data: shown.map((row) => JSON.parse(row.event_json) as SessionEvent),
      next_page: rows.length > limit && last !== undefined ? encodeCursor({ of: sessionId, order, last }) : null,
    };
  }

  /** Stores the events (once, see `once`), then sets them going. */
  async send(target: { accountId: string; sessionId: string }, input: SendEvents, identity: RequestIdentity) {
    const { accountId, sessionId } = target;
    const row = await this.#row(accountId, sessionId);
    if (row.status === "terminated") throw new AppError("session_terminated");
    for (const [index, event] of input.events.entries()) if (event.type === "user.message") checkMessage(event, index);
    const { log, clock, turns } = this.#deps;
    const nowMs = clock.now();
    const { result, repeated } = await log.transact((logTx) =>
      once(logTx.tx, { accountId, scope: `send:${sessionId}`, identity, nowMs }, () =>
        store(logTx, { sessionId, input, identity, nowMs }),
      ),
    );
    if (!repeated) {
      for (const { type } of input.events) {
        if (type === "user.message") turns.wake(sessionId);
        else turns.interrupt(sessionId);
      }
    }
    return { data: result };
  }

  /**
   * Where a stream without a cursor begins: after the returned seq. At the message whose turn runs or comes next, else
   * at the last turn's.
   */
  async replayFrom(accountId: string, sessionId: string): Promise<{ after: number; lastSeq: number }> {
    const { last_seq: lastSeq } = await this.#row(accountId, sessionId);
    const { db } = this.#deps;
    const open = await db
      .selectFrom("messages")
      .innerJoin("events", "events.id", "messages.event_id")
      .select("events.seq as seq")
      .where("messages.session_id", "=", sessionId)
      .where("messages.state", "!=", "done")
      .orderBy("events.seq", "asc")
      .limit(1)
      .executeTakeFirst();
    const newest = db
      .selectFrom("events")
      .select("seq")
      .where("session_id", "=", sessionId)
      .where("type", "=", "user.message")
      .orderBy("seq", "desc")
      .limit(1);
    const from = open ?? (await newest.executeTakeFirst());
    return { after: from === undefined ? 0 : from.seq - 1, lastSeq };
  }

  #rows() {
    return this.#deps.db
      .selectFrom("sessions")
      .innerJoin("workspaces", "workspaces.id", "sessions.workspace_id")
      .selectAll("sessions")
      .select("workspaces.name as workspace_name");
  }

  async #row(accountId: string, sessionId: string): Promise<Row> {
    const row = isId("session", sessionId)
      ? await this.#rows()
          .where("sessions.id", "=", sessionId)
          .where("sessions.account_id", "=", accountId)
          .executeTakeFirst()
      : undefined;
    if (row === undefined) throw new AppError("session_not_found");
    return row;
  }
}

async function store(
  { tx, append }: LogTx,
  {
    sessionId,
    input,
    identity,
    nowMs,
  }: { sessionId: string; input: SendEvents; identity: RequestIdentity; nowMs: number },
): Promise<SessionEvent[]> {
  const client = identity.key === undefined ? {} : { holdfast: { client_id: identity.key } };
  const events: NewEvent[] = input.events.map((event) =>
    event.type === "user.message"
      ? { type: "user.message", id: newId("event", nowMs), content: event.content, ...client }
      : { type: "user.interrupt" },
  );
  const { status } = await tx
    .selectFrom("sessions")
    .select("status")
    .where("id", "=", sessionId)
    .executeTakeFirstOrThrow();
  const starts = status === "idle" && events.some(({ type }) => type === "user.message");
  const appended = await append({
    sessionId,
    events: starts ? [...events, { type: "session.status_running" }] : events,
    ...(starts ? { session: { status: "running" } } : {}),
    atMs: nowMs,
  });
  const said = appended.slice(0, events.length);
  for (const event of said) {
    if (event.type !== "user.message") continue;
    await tx
      .insertInto("messages")
      .values({
        id: randomUUID(),
        session_id: sessionId,
        event_id: event.id,
        content_json: JSON.stringify(event.content),
        state: "queued",
        created_at: nowMs,
      })
      .execute();
  }
  return said;
}

function checkMessage(event: Extract<SendEvents["events"][number], { type: "user.message" }>, index: number): void {
  let text = "";
  let images = 0;
  for (const block of event.content) {
    if (block.type === "text") text += block.text;
    else images++;
  }
  const path = `events.${index}.content`;
  if (text.trim() === "" && images === 0) {
    throw new AppError("prompt_empty", { errors: [{ path, message: "has no text" }] });
  }
  const bytes = Buffer.byteLength(text);
  if (bytes > maxPromptBytes) {
    throw new AppError("prompt_too_large", {
      detail: `The message has ${bytes} bytes of text; ${maxPromptBytes} are accepted`,
      errors: [{ path, message: `is longer than ${maxPromptBytes} bytes` }],
    });
  }
}

function toSession(row: Row): Session {
  const usage = JSON.parse(row.usage_json) as Session["usage"];
  return {
    id: row.id,
    type: "session",
    agent: { ...defaultAgent },
    environment_id: defaultEnvironmentId,
    title: row.title === null ? null : decodeText(row.title),
    status: row.status,
    metadata: JSON.parse(row.metadata_json) as Record<string, string>,
    created_at: new Date(row.created_at).toISOString(),
    updated_at: new Date(row.updated_at).toISOString(),
    archived_at: null,
    budget: null,
    outcome_evaluations: [],
    resources: [],
    stats: { duration_seconds: Math.max(0, (row.updated_at - row.created_at) / 1000) },
    usage,
    vault_ids: [],
    holdfast: { workspace: row.workspace_name, last_seq: row.last_seq, cost_usd: row.cost_usd },
  };
}
