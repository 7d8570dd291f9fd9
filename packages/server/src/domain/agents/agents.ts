import {
  type Agent,
  type AgentCreate,
  type AgentDefinition,
  type AgentUpdate,
  AppError,
  isId,
  newId,
  patchMetadata,
  type SessionAgent,
} from "@holdfast/protocol";
import type { Clock } from "../../ports/clock.ts";
import { type Database, locked, type Tx } from "../../ports/database.ts";
import { holdAccount } from "../accounts/hold.ts";
import { decodeCursor, decodeNumber, encodeCursor } from "../cursor.ts";
import { once, type RequestIdentity } from "../idempotency.ts";
import { checkMetadataSize } from "../metadata.ts";
import type { TimeRange } from "../paging.ts";
import { changeAgent, defineAgent } from "./definition.ts";

export interface ListAgents {
  limit: number;
  page?: string;
  includeArchived: boolean;
  created: TimeRange;
}

interface Row {
  id: string;
  version: number;
  created_at: number;
  archived_at: number | null;
  definition_json: string;
  metadata_json: string;
  changed_at: number;
}

/** The agents of all accounts; every change of one makes a version, and none is ever lost. */
export class Agents {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor({ db, clock }: { db: Database; clock: Clock }) {
    this.#db = db;
    this.#clock = clock;
  }

  async create(accountId: string, input: AgentCreate, identity: RequestIdentity): Promise<Agent> {
    const nowMs = this.#clock.now();
    const definition = defineAgent(input);
    const { result } = await this.#db.transaction().execute((tx) =>
      once(tx, { accountId, scope: "agent", identity, nowMs }, async () => {
        await holdAccount(tx, accountId);
        const id = newId("agent", nowMs);
        const row = { id, account_id: accountId, version: 1, created_at: nowMs, archived_at: null };
        await tx.insertInto("agents").values(row).execute();
        await addVersion(tx, { id, version: 1, definition, metadata: input.metadata ?? {}, nowMs });
        return id;
      }),
    );
    return await this.get(accountId, result);
  }

  /** Of the newest version unless one is named. Throws `agent_not_found`. */
  async get(accountId: string, agentId: string, version?: number): Promise<Agent> {
    return toAgent(await findRow(this.#db, { accountId, agentId, ...(version === undefined ? {} : { version }) }));
  }

  /** Newest first. */
  async list(accountId: string, options: ListAgents) {
    const of = "agents";
    let query = this.#rows().where("agents.account_id", "=", accountId);
    if (!options.includeArchived) query = query.where("agents.archived_at", "is", null);
    const { from, to } = options.created;
    if (from !== undefined) query = query.where("agents.created_at", ">=", from);
    if (to !== undefined) query = query.where("agents.created_at", "<=", to);
    if (options.page !== undefined) {
      query = query.where("agents.id", "<", String(decodeCursor(options.page, { of, order: "desc" })));
    }
    const rows = await query
      .orderBy("agents.id", "desc")
      .limit(options.limit + 1)
      .execute();
    const data = rows.slice(0, options.limit).map(toAgent);
    const last = data.at(-1)?.id;
    const more = rows.length > options.limit && last !== undefined;
    return { data, next_page: more ? encodeCursor({ of, order: "desc", last }) : null };
  }

  /** Newest first. */
  async versions(accountId: string, agentId: string, options: { limit: number; page?: string }) {
    await findRow(this.#db, { accountId, agentId });
    const of = `versions:${agentId}`;
    let query = allVersions(this.#db).where("agents.id", "=", agentId);
    if (options.page !== undefined) {
      const last = decodeNumber(options.page, { of, order: "desc" });
      query = query.where("agent_versions.version", "<", last);
    }
    const rows = await query
      .orderBy("agent_versions.version", "desc")
      .limit(options.limit + 1)
      .execute();
    const data = rows.slice(0, options.limit).map(toAgent);
    const last = data.at(-1)?.version;
    const more = rows.length > options.limit && last !== undefined;
    return { data, next_page: more ? encodeCursor({ of, order: "desc", last }) : null };
  }

  /** A new version, unless nothing would change. Throws `agent_version_conflict` when the caller knows another one. */
  async update(accountId: string, agentId: string, change: AgentUpdate): Promise<Agent> {
    const nowMs = this.#clock.now();
    await this.#db.transaction().execute(async (tx) => {
      // One change after the other: each makes the version after the newest.
      if (isId("agent", agentId))
        await tx.selectFrom("agents").select("id").where("id", "=", agentId).$call(locked(tx)).execute();
      const row = await findRow(tx, { accountId, agentId });
      if (row.archived_at !== null) throw new AppError("agent_archived");
      if (change.version !== undefined && change.version !== row.version) {
        throw new AppError("agent_version_conflict", {
          detail: `The agent has version ${row.version}, not ${change.version}`,
          errors: [{ path: "version", message: `is ${row.version} now` }],
        });
      }
      const before = JSON.parse(row.definition_json) as AgentDefinition;
      const definition = changeAgent(before, change);
      const metadataBefore = JSON.parse(row.metadata_json) as Record<string, string>;
      const metadata = patchMetadata(metadataBefore, change.metadata);
      checkMetadataSize(metadata);
      if (same([before, metadataBefore], [definition, metadata])) return;
      const version = row.version + 1;
      await addVersion(tx, { id: agentId, version, definition, metadata, nowMs });
      await tx.updateTable("agents").set({ version }).where("id", "=", agentId).execute();
    });
    return await this.get(accountId, agentId);
  }

  /** For good. Safe to repeat. */
  async archive(accountId: string, agentId: string): Promise<Agent> {
    await findRow(this.#db, { accountId, agentId });
    await this.#db
      .updateTable("agents")
      .set({ archived_at: this.#clock.now() })
      .where("id", "=", agentId)
      .where("archived_at", "is", null)
      .execute();
    return await this.get(accountId, agentId);
  }

  #rows() {
    return newestVersions(this.#db);
  }
}

/** The agent as a new session gets it. Throws `agent_not_found`, `agent_archived`. */
export async function sessionAgent(
  tx: Tx,
  choice: { accountId: string; agentId: string; version?: number },
): Promise<SessionAgent> {
  const row = await findRow(tx, { ...choice, path: "agent" });
  if (row.archived_at !== null) throw new AppError("agent_archived");
  const definition = JSON.parse(row.definition_json) as AgentDefinition;
  return { type: "agent", id: row.id, version: row.version, ...definition };
}

const columns = [
  "agents.id as id",
  "agent_versions.version as version",
  "agents.created_at as created_at",
  "agents.archived_at as archived_at",
  "agent_versions.definition_json as definition_json",
  "agent_versions.metadata_json as metadata_json",
  "agent_versions.created_at as changed_at",
] as const;

function allVersions(db: Database) {
  return db.selectFrom("agents").innerJoin("agent_versions", "agent_versions.agent_id", "agents.id").select(columns);
}

function newestVersions(db: Database) {
  return allVersions(db).whereRef("agent_versions.version", "=", "agents.version");
}

async function findRow(
  db: Database,
  { accountId, agentId, version, path }: { accountId: string; agentId: string; version?: number; path?: string },
): Promise<Row> {
  const query =
    version === undefined ? newestVersions(db) : allVersions(db).where("agent_versions.version", "=", version);
  const row = isId("agent", agentId)
    ? await query.where("agents.id", "=", agentId).where("agents.account_id", "=", accountId).executeTakeFirst()
    : undefined;
  if (row !== undefined) return row;
  const which = version === undefined ? "" : ` in version ${version}`;
  const detail = `This account has no agent "${agentId.slice(0, 100)}"${which}`;
  throw new AppError(
    "agent_not_found",
    path === undefined ? { detail } : { detail, errors: [{ path, message: "is unknown" }] },
  );
}

async function addVersion(
  tx: Tx,
  version: { id: string; version: number; definition: AgentDefinition; metadata: object; nowMs: number },
): Promise<void> {
  await tx
    .insertInto("agent_versions")
    .values({
      agent_id: version.id,
      version: version.version,
      definition_json: JSON.stringify(version.definition),
      metadata_json: JSON.stringify(version.metadata),
      created_at: version.nowMs,
    })
    .execute();
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function toAgent(row: Row): Agent {
  return {
    type: "agent",
    id: row.id,
    version: row.version,
    ...(JSON.parse(row.definition_json) as AgentDefinition),
    metadata: JSON.parse(row.metadata_json) as Record<string, string>,
    created_at: new Date(row.created_at).toISOString(),
    updated_at: new Date(row.changed_at).toISOString(),
    archived_at: row.archived_at === null ? null : new Date(row.archived_at).toISOString(),
  };
}
