import { randomUUID } from "node:crypto";
import type { PermissionMode } from "@holdfast/claude";
import {
  AppError,
  newId,
  patchMetadata,
  type SendEvents,
  type Session,
  type SessionAgent,
  type SessionCreate,
  type SessionEvent,
  type SessionUpdate,
  type SettingsChange,
  type StreamVerdict,
  type TaskStopped,
  workspaceMetadataKey,
} from "@holdfast/protocol";
import type { Clock } from "../../ports/clock.ts";
import { type Database, dropDeleted, locked, type Tx } from "../../ports/database.ts";
import type { EventLog } from "../../ports/event-log.ts";
import { chooseAgent } from "../agents/choose.ts";
import { defaultAgent } from "../agents/default.ts";
import { launchModeOf } from "../agents/launch.ts";
import { defaultEnvironmentId } from "../environments/default.ts";
import { checkEnvironment } from "../environments/environments.ts";
import { once, type RequestIdentity } from "../idempotency.ts";
import { checkMetadataSize } from "../metadata.ts";
import type { Page } from "../paging.ts";
import { readRaw } from "../raw/read-raw.ts";
import { encodeText } from "../text.ts";
import { cancelWakeups, pendingWakeups, type WakeupRow } from "../wakeups/wakeup-rows.ts";
import { defaultWorkspaceName, ensureWorkspace } from "../workspaces/workspace-rows.ts";
import { backgroundOf } from "./background.ts";
import { type Erasures, noteErasure } from "./erasures.ts";
import { eventsById, type ListEvents, type ListSessions, listEvents, listSessions, sessionRow } from "./lists.ts";
import { type SessionRow, toSession } from "./present.ts";
import { checkMessages, storeEvents } from "./send.ts";
import { afterChange, toSettings } from "./settings.ts";
import { stopAll } from "./stops.ts";
import { streamPoint } from "./stream-point.ts";

/** What happens to sessions beside the database. */
export interface TurnControl {
  /** There may be messages to work on. */
  wake(sessionId: string): void;
  /** Stops the running turn; nothing happens when there is none. */
  interrupt(sessionId: string): void;
  /** A question was answered: the process that asked is to be told. */
  answer(sessionId: string): void;
  /** As `drop`, without waiting: an archived session's process is ended with all that it does. */
  end(sessionId: string): void;
  /** Ends a task of the background. Rejects when the process could not be told. */
  stopTask(sessionId: string, taskId: string): Promise<void>;
  /** Its settings have changed: a process that lives is told. */
  configure(sessionId: string): void;
  /** Ends turn and process, and forgets the session. */
  drop(sessionId: string): Promise<void>;
}

export interface SessionsDeps {
  db: Database;
  log: EventLog;
  clock: Clock;
  installationId: string;
  turns: TurnControl;
  erasures: Pick<Erasures, "erase">;
  /** Of the installation, for the default agent. */
  permissionMode: PermissionMode;
}

export class Sessions {
  readonly #deps: SessionsDeps;

  constructor(deps: SessionsDeps) {
    this.#deps = deps;
  }

  async create(accountId: string, input: SessionCreate, identity: RequestIdentity): Promise<Session> {
    const { log, clock, installationId, turns } = this.#deps;
    const nowMs = clock.now();
    const events = input.initial_events ?? [];
    checkMessages(events, "initial_events");
    const { result, repeated } = await log.transact((logTx) => {
      const isThere = async (id: string) =>
        (await logTx.tx.selectFrom("sessions").select("id").where("id", "=", id).executeTakeFirst()) !== undefined;
      const sessionOf = (id: string) => id;
      return once(logTx.tx, { accountId, scope: "create", identity, nowMs, isThere, sessionOf }, async () => {
        const { tx } = logTx;
        const agent = await chooseAgent(tx, accountId, input.agent);
        await checkEnvironment(tx, accountId, input.environment_id ?? defaultEnvironmentId);
        const name = input.metadata?.[workspaceMetadataKey] ?? defaultWorkspaceName;
        const workspace = await ensureWorkspace(tx, { accountId, name, installationId, nowMs });
        const id = await insertSession(tx, { accountId, workspaceId: workspace.id, agent, input, nowMs });
        if (events.length > 0) await storeEvents(logTx, { sessionId: id, events, identity, by: "", nowMs });
        return id;
      });
    });
    if (!repeated && events.length > 0) turns.wake(result);
    return await this.#one(accountId, result);
  }

  async get(accountId: string, sessionId: string): Promise<Session> {
    return await this.#one(accountId, sessionId);
  }

  /** Newest first unless asked otherwise. */
  async list(accountId: string, options: ListSessions) {
    return await listSessions(this.#deps.db, accountId, {
      ...options,
      present: (row, wakeups) => this.#present(row, wakeups),
    });
  }

  async events(accountId: string, sessionId: string, options: ListEvents): Promise<Page<SessionEvent>> {
    await sessionRow(this.#deps.db, accountId, sessionId);
    return await listEvents(this.#deps.db, sessionId, options);
  }

  /** What Claude Code printed in it. Rejects before the first line when there is no such session. */
  async raw(accountId: string, sessionId: string, options: { full: boolean; signal: AbortSignal }) {
    await sessionRow(this.#deps.db, accountId, sessionId);
    return readRaw(this.#deps.db, { sessionId, ...options });
  }

  /**
   * Title, metadata and settings; a key whose value is null is deleted. The workspace stays what it is. A process that
   * lives is told of new settings at once.
   */
  async update(accountId: string, sessionId: string, change: SessionUpdate): Promise<Session> {
    const { log, turns, permissionMode } = this.#deps;
    const wanted = change.holdfast?.settings;
    await log.transact(async ({ tx, append, lock }) => {
      await lock(sessionId);
      const row = await sessionRow(tx, accountId, sessionId);
      if (row.archived_at !== null) throw new AppError("session_archived");
      const before = JSON.parse(row.metadata_json) as Record<string, string>;
      const metadata = patchMetadata(before, change.metadata);
      checkMetadataSize(metadata);
      if (metadata[workspaceMetadataKey] !== before[workspaceMetadataKey]) {
        const path = `metadata.${workspaceMetadataKey}`;
        const errors = [{ path, message: "cannot be changed; start a new session" }];
        throw new AppError("request_invalid", { detail: "A session keeps its workspace", errors });
      }
      const { title } = change;
      const titled = title === undefined ? {} : { title };
      const said = { ...titled, ...(change.metadata ? { metadata } : {}) };
      const set = wanted === undefined ? undefined : changeSettings(row, wanted, permissionMode);
      await append({
        sessionId,
        events: [{ type: "session.updated", ...said, ...set?.said }],
        session: {
          metadata_json: JSON.stringify(metadata),
          ...(title === undefined ? {} : { title: title === null ? null : encodeText(title) }),
          ...set?.columns,
        },
      });
    });
    if (wanted !== undefined) turns.configure(sessionId);
    return await this.#one(accountId, sessionId);
  }

  /** Ends one task of the background; safe to repeat. Throws `task_not_found`. */
  async stopTask(accountId: string, sessionId: string, taskId: string): Promise<TaskStopped> {
    const { db, turns } = this.#deps;
    const row = await sessionRow(db, accountId, sessionId);
    if (await this.#cancelWakeup(sessionId, taskId)) return { id: taskId, type: "task_stopped" };
    if (!backgroundOf(row).some(({ id }) => id === taskId)) throw new AppError("task_not_found");
    await turns.stopTask(sessionId, taskId);
    return { id: taskId, type: "task_stopped" };
  }

  /** It takes no more events; whatever runs in it is ended. Safe to repeat. */
  async archive(accountId: string, sessionId: string): Promise<Session> {
    const { db, turns } = this.#deps;
    await sessionRow(db, accountId, sessionId);
    await this.#markArchived(sessionId);
    // Also where nobody works on it: what waits there is said to have been stopped.
    turns.interrupt(sessionId);
    turns.end(sessionId);
    return await this.#one(accountId, sessionId);
  }

  /** Ends its turn and removes all that is stored of it; the workspace and its files stay. */
  async delete(accountId: string, sessionId: string): Promise<{ id: string; type: "session_deleted" }> {
    const { db } = this.#deps;
    await sessionRow(db, accountId, sessionId);
    await this.end(sessionId);
    const workspaceId = await this.remove(accountId, sessionId);
    // Somebody else's deletion was first.
    if (workspaceId === undefined) throw new AppError("session_not_found");
    await this.#deps.erasures.erase(workspaceId);
    await dropDeleted(db);
    return { id: sessionId, type: "session_deleted" };
  }

  /** From now on nothing new is taken; a running turn and its process are ended. Safe to repeat. */
  async end(sessionId: string): Promise<void> {
    await this.#markArchived(sessionId);
    await this.#deps.turns.drop(sessionId);
  }

  /** The rows of one that was ended; what Claude Code keeps of it is noted. Its workspace, undefined: it was gone. */
  async remove(accountId: string, sessionId: string): Promise<string | undefined> {
    const { log, clock } = this.#deps;
    return await log.transact(async ({ tx, append }) => {
      const row = await tx
        .selectFrom("sessions")
        .select(["workspace_id", "claude_session_id", "claude_started"])
        .where("id", "=", sessionId)
        .where("account_id", "=", accountId)
        .$call(locked(tx))
        .executeTakeFirst();
      if (row === undefined) return undefined;
      await append({ sessionId, events: [{ type: "session.deleted" }] });
      if (row.claude_started === 1) await noteErasure(tx, row, clock.now());
      await removeSession(tx, sessionId);
      return row.workspace_id;
    });
  }

  /** Stores the events (once, see `once`), then sets them going. */
  async send(
    target: { accountId: string; sessionId: string; by: string },
    input: SendEvents,
    identity: RequestIdentity,
  ) {
    const { accountId, sessionId, by } = target;
    const { db, log, clock, turns } = this.#deps;
    await sessionRow(db, accountId, sessionId);
    checkMessages(input.events, "events");
    const nowMs = clock.now();
    let said: SessionEvent[] = [];
    const { repeated } = await log.transact((logTx) => {
      const { tx } = logTx;
      const isThere = async (ids: string[]) => {
        said = await eventsById(tx, sessionId, ids);
        return said.length === ids.length;
      };
      const sessionOf = () => sessionId;
      return once(tx, { accountId, scope: `send:${sessionId}`, identity, nowMs, isThere, sessionOf }, async () => {
        said = await storeEvents(logTx, { sessionId, events: input.events, identity, by, nowMs });
        return said.map(({ id }) => id);
      });
    });
    if (!repeated) {
      for (const { type } of input.events) {
        if (type === "user.message") turns.wake(sessionId);
        else if (type === "user.interrupt") turns.interrupt(sessionId);
        else turns.answer(sessionId);
      }
    }
    return { data: said };
  }

  /** Where a stream begins that has this cursor, or none. */
  streamPoint(accountId: string, sessionId: string, cursor: number | undefined): Promise<StreamVerdict> {
    return streamPoint(this.#deps.db, { accountId, sessionId, cursor });
  }

  #present(row: SessionRow, wakeups: readonly WakeupRow[]): Session {
    return toSession(row, { permissionMode: this.#deps.permissionMode, wakeups });
  }

  async #one(accountId: string, sessionId: string): Promise<Session> {
    const { db } = this.#deps;
    return this.#present(await sessionRow(db, accountId, sessionId), await pendingWakeups(db, [sessionId]));
  }

  async #cancelWakeup(sessionId: string, id: string): Promise<boolean> {
    return await this.#deps.log.transact(async ({ tx, append, lock }) => {
      await lock(sessionId);
      const events = await cancelWakeups(tx, sessionId, { id });
      if (events.length > 0) await append({ sessionId, events });
      return events.length > 0;
    });
  }

  async #markArchived(sessionId: string): Promise<void> {
    const { log, clock } = this.#deps;
    const nowMs = clock.now();
    await log.transact(async (logTx) => {
      const { numUpdatedRows } = await logTx.tx
        .updateTable("sessions")
        .set({ archived_at: nowMs })
        .where("id", "=", sessionId)
        .where("archived_at", "is", null)
        .executeTakeFirst();
      if (numUpdatedRows !== 1n) return;
      const events = await cancelWakeups(logTx.tx, sessionId);
      if (events.length > 0) await logTx.append({ sessionId, events });
      await stopAll(logTx, sessionId, nowMs);
    });
  }
}

/** The columns of new settings, and what the log says of them. */
function changeSettings(row: SessionRow, change: SettingsChange, permissionMode: PermissionMode) {
  const settings = afterChange(row, change);
  const agent = row.agent_json === null ? null : (JSON.parse(row.agent_json) as SessionAgent);
  // That of the event which says it.
  const seq = row.last_seq + 1;
  return {
    said: { holdfast: { settings: toSettings(settings, launchModeOf(agent, permissionMode)) } },
    columns: { ...settings, settings_seq: seq, ...(change.permission_mode === undefined ? {} : { mode_seq: seq }) },
  };
}

interface NewSession {
  accountId: string;
  workspaceId: string;
  agent: SessionAgent | null;
  input: SessionCreate;
  nowMs: number;
}

async function insertSession(tx: Tx, { accountId, workspaceId, agent, input, nowMs }: NewSession): Promise<string> {
  const id = newId("session", nowMs);
  await tx
    .insertInto("sessions")
    .values({
      id,
      account_id: accountId,
      workspace_id: workspaceId,
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
      agent_id: (agent ?? defaultAgent).id,
      agent_version: (agent ?? defaultAgent).version,
      agent_json: agent === null ? null : JSON.stringify(agent),
      environment_id: input.environment_id ?? defaultEnvironmentId,
      archived_at: null,
      ...afterChange({ permission_mode: null, model: null, effort: null }, input.holdfast?.settings ?? {}),
      stop_requested_at: null,
      background_json: null,
      todos_json: null,
      created_at: nowMs,
      updated_at: nowMs,
    })
    .execute();
  return id;
}

/** Everything that is stored of a session alone. */
export async function removeSession(tx: Tx, sessionId: string): Promise<void> {
  const tables = [
    "permissions",
    "wakeups",
    "claude_state",
    "messages",
    "events",
    "raw_batches",
    "blobs",
    "processes",
    "idempotency",
  ] as const;
  for (const table of tables) await tx.deleteFrom(table).where("session_id", "=", sessionId).execute();
  await tx.deleteFrom("sessions").where("id", "=", sessionId).execute();
}
