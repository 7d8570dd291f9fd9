import {
  AppError,
  type Environment,
  type EnvironmentConfig,
  type EnvironmentConfigParams,
  type EnvironmentCreate,
  type EnvironmentUpdate,
  isId,
  newId,
  patchMetadata,
} from "@holdfast/protocol";
import type { Selectable } from "kysely";
import type { Clock } from "../../ports/clock.ts";
import { type Database, locked, type Schema, type Tx } from "../../ports/database.ts";
import { holdAccount } from "../accounts/hold.ts";
import { decodeCursor, encodeCursor } from "../cursor.ts";
import { once, type RequestIdentity } from "../idempotency.ts";
import { checkMetadataSize } from "../metadata.ts";
import { decodeText, encodeText } from "../text.ts";
import { defaultEnvironmentId } from "./default.ts";
import type { EnvironmentImage, EnvironmentImages } from "./images.ts";
import { environmentLayers } from "./layers.ts";

type Row = Selectable<Schema["environments"]>;

export interface EnvironmentsDeps {
  db: Database;
  clock: Clock;
  images: EnvironmentImages;
}

/** What sandboxes are made from, beside the installation's own image. */
export class Environments {
  readonly #deps: EnvironmentsDeps;

  constructor(deps: EnvironmentsDeps) {
    this.#deps = deps;
  }

  /** Its image is built at once, in the background. */
  async create(accountId: string, input: EnvironmentCreate, identity: RequestIdentity): Promise<Environment> {
    const { db, clock } = this.#deps;
    const nowMs = clock.now();
    const { result: id, repeated } = await db.transaction().execute((tx) =>
      once(tx, { accountId, scope: "environment", identity, nowMs }, async () => {
        await holdAccount(tx, accountId);
        const row: Row = {
          id: newId("environment", nowMs),
          account_id: accountId,
          name: encodeText(input.name),
          description: typeof input.description === "string" ? encodeText(input.description) : null,
          config_json: JSON.stringify(resolveConfig(input.config)),
          commands_json: JSON.stringify(input.holdfast?.image_commands ?? []),
          metadata_json: JSON.stringify(input.metadata ?? {}),
          created_at: nowMs,
          updated_at: nowMs,
          archived_at: null,
        };
        await tx.insertInto("environments").values(row).execute();
        return row.id;
      }),
    );
    const row = await findRow(db, accountId, id);
    if (!repeated) this.#build(row);
    return this.#toEnvironment(row);
  }

  /** Throws `environment_not_found`. */
  async get(accountId: string, id: string): Promise<Environment> {
    if (id === defaultEnvironmentId) return this.#toEnvironment(builtIn);
    return this.#toEnvironment(await findRow(this.#deps.db, accountId, id));
  }

  /** Newest first. */
  async list(accountId: string, options: { limit: number; page?: string; includeArchived: boolean }) {
    const of = "environments";
    let query = this.#deps.db.selectFrom("environments").selectAll().where("account_id", "=", accountId);
    if (!options.includeArchived) query = query.where("archived_at", "is", null);
    if (options.page !== undefined) {
      query = query.where("id", "<", String(decodeCursor(options.page, { of, order: "desc" })));
    }
    const rows = await query
      .orderBy("id", "desc")
      .limit(options.limit + 1)
      .execute();
    const data = rows.slice(0, options.limit).map((row) => this.#toEnvironment(row));
    const last = data.at(-1)?.id;
    const more = rows.length > options.limit && last !== undefined;
    return { data, next_page: more ? encodeCursor({ of, order: "desc", last }) : null };
  }

  /** Sandboxes that run keep what they were made from; the next ones get what is said here. */
  async update(accountId: string, id: string, change: EnvironmentUpdate): Promise<Environment> {
    const { db, clock } = this.#deps;
    await db.transaction().execute(async (tx) => {
      await lockRow(tx, id);
      const row = await findRow(tx, accountId, id);
      if (row.archived_at !== null) throw new AppError("environment_archived");
      const metadata = patchMetadata(JSON.parse(row.metadata_json) as Record<string, string>, change.metadata);
      checkMetadataSize(metadata);
      const { name, description, config, holdfast } = change;
      const commands = holdfast?.image_commands;
      await tx
        .updateTable("environments")
        .set({
          updated_at: clock.now(),
          metadata_json: JSON.stringify(metadata),
          ...(typeof name === "string" ? { name: encodeText(name) } : {}),
          ...(description === undefined ? {} : { description: description === null ? null : encodeText(description) }),
          ...(config ? { config_json: JSON.stringify(resolveConfig(config)) } : {}),
          ...(commands === undefined ? {} : { commands_json: JSON.stringify(commands) }),
        })
        .where("id", "=", id)
        .execute();
    });
    const row = await findRow(db, accountId, id);
    this.#build(row);
    return this.#toEnvironment(row);
  }

  /** No new session gets it; those that have it go on. Safe to repeat. */
  async archive(accountId: string, id: string): Promise<Environment> {
    const { db, clock } = this.#deps;
    await findRow(db, accountId, id);
    await db
      .updateTable("environments")
      .set({ archived_at: clock.now() })
      .where("id", "=", id)
      .where("archived_at", "is", null)
      .execute();
    return await this.get(accountId, id);
  }

  /** Throws `environment_in_use` as long as a session that is not archived has it. */
  async delete(accountId: string, id: string): Promise<{ id: string; type: "environment_deleted" }> {
    await this.#deps.db.transaction().execute(async (tx) => {
      await lockRow(tx, id);
      await findRow(tx, accountId, id);
      const user = await tx
        .selectFrom("sessions")
        .select("id")
        .where("environment_id", "=", id)
        .where("archived_at", "is", null)
        .limit(1)
        .executeTakeFirst();
      if (user !== undefined) throw new AppError("environment_in_use", { detail: `The session ${user.id} uses it` });
      await tx.deleteFrom("environments").where("id", "=", id).execute();
    });
    return { id, type: "environment_deleted" };
  }

  /** What a sandbox of this environment is made from. Throws `environment_not_found` when it was deleted. */
  async image(environmentId: string): Promise<EnvironmentImage> {
    const { db, images } = this.#deps;
    if (environmentId === defaultEnvironmentId) return images.of([]);
    const row = await db.selectFrom("environments").selectAll().where("id", "=", environmentId).executeTakeFirst();
    if (row === undefined) throw notFound(environmentId);
    return images.of(layersOf(row));
  }

  #build(row: Row): void {
    // Whoever retrieves the environment is told of a failure, and the turn that needs the image tries again.
    this.#deps.images
      .of(layersOf(row))
      .image.get()
      .catch(() => undefined);
  }

  #toEnvironment(row: Row): Environment {
    const image = this.#deps.images.known(layersOf(row))?.progress;
    return {
      id: row.id,
      type: "environment",
      name: decodeText(row.name),
      description: row.description === null ? null : decodeText(row.description),
      config: JSON.parse(row.config_json) as EnvironmentConfig,
      metadata: JSON.parse(row.metadata_json) as Record<string, string>,
      scope: "account",
      created_at: new Date(row.created_at).toISOString(),
      updated_at: new Date(row.updated_at).toISOString(),
      archived_at: row.archived_at === null ? null : new Date(row.archived_at).toISOString(),
      holdfast: {
        image_commands: JSON.parse(row.commands_json) as string[],
        image: image ?? { state: "not_built", detail: null, done: 0, total: null },
      },
    };
  }
}

/** For a new session. Throws `environment_not_found`, `environment_archived`. */
export async function checkEnvironment(tx: Tx, accountId: string, id: string): Promise<void> {
  if (id === defaultEnvironmentId) return;
  await lockRow(tx, id);
  const row = await findRow(tx, accountId, id, "environment_id");
  if (row.archived_at !== null) throw new AppError("environment_archived");
}

/** It is neither changed nor deleted, nor does a session begin with it, before the transaction ends. */
async function lockRow(tx: Tx, id: string): Promise<void> {
  if (!isId("environment", id)) return;
  await tx.selectFrom("environments").select("id").where("id", "=", id).$call(locked(tx)).execute();
}

async function findRow(db: Database, accountId: string, id: string, path?: string): Promise<Row> {
  const row = isId("environment", id)
    ? await db
        .selectFrom("environments")
        .selectAll()
        .where("id", "=", id)
        .where("account_id", "=", accountId)
        .executeTakeFirst()
    : undefined;
  if (row === undefined) throw notFound(id, path);
  return row;
}

function notFound(id: string, path?: string): AppError {
  const detail = `This account has no environment "${id.slice(0, 100)}"`;
  const errors = path === undefined ? [] : [{ path, message: "is unknown" }];
  return new AppError("environment_not_found", { detail, errors });
}

function layersOf(row: Row) {
  return environmentLayers(JSON.parse(row.config_json) as EnvironmentConfig, JSON.parse(row.commands_json) as string[]);
}

function resolveConfig(config: EnvironmentConfigParams | null | undefined): EnvironmentConfig {
  const { apt, npm, pip } = config?.packages ?? {};
  return {
    type: "cloud",
    networking: {
      type: "limited",
      allowed_hosts: [],
      allow_mcp_servers: false,
      allow_package_managers: false,
    },
    packages: { type: "packages", apt: apt ?? [], cargo: [], gem: [], go: [], npm: npm ?? [], pip: pip ?? [] },
  };
}

/** The installation's own. */
const builtIn: Row = {
  id: defaultEnvironmentId,
  account_id: "",
  name: "Default",
  description: "Claude Code with git, ripgrep, Python and Node",
  config_json: JSON.stringify(resolveConfig(null)),
  commands_json: "[]",
  metadata_json: "{}",
  created_at: 0,
  updated_at: 0,
  archived_at: null,
};
