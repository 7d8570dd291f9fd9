import { isNoRoom } from "../../disk-reserve.ts";
import { refuse } from "../../errors.ts";
import { isId, shown } from "../../ids.ts";
import type { GenericResult, SandboxTag } from "../../proto/messages.ts";
import { seal, unseal } from "../../state/seal.ts";
import { isTaken, type Row, type Store } from "../../state/store.ts";
import type { StoredSpec } from "./spec.ts";

export type SandboxStatus = "creating" | "running" | "finished";

export interface SandboxRecord {
  id: string;
  taskId: string;
  appId: string;
  name: string | undefined;
  status: SandboxStatus;
  spec: StoredSpec;
  /** Environment that every process of it starts from, secrets included: never log it. */
  env: Record<string, string>;
  tags: SandboxTag[];
  /** Once finished, or (while not) how it is about to end. */
  result: GenericResult | undefined;
  /** Seconds since 1970, unique. */
  createdAt: number;
  startedAt: number | undefined;
  finishedAt: number | undefined;
  deadlineAt: number;
}

export type NewSandbox = Pick<SandboxRecord, "id" | "taskId" | "appId" | "name" | "spec" | "env" | "tags"> & {
  idempotencyKey: string | undefined;
};

interface PageFilter {
  appId: string | undefined;
  before: number;
  withFinished: boolean;
  tags: SandboxTag[];
  size: number;
}

interface PendingEnd {
  intended?: GenericResult;
  finished?: { result: GenericResult; at: number };
}

/** Rows of sandboxes: the only place that knows their SQL. */
export class SandboxRecords {
  readonly #store: Store;
  /** By id: ends that are so and could not be written down. */
  readonly #pending = new Map<string, PendingEnd>();

  constructor(store: Store) {
    this.#store = store;
  }

  insert(sandbox: NewSandbox): SandboxRecord {
    const top = number(this.#store.get("SELECT max(created_at) AS top FROM sandboxes")?.top ?? null) ?? 0;
    // Pages of lists are cut by time alone, so no two sandboxes may share it.
    const createdAt = Math.max(Date.now() / 1000, top + 0.000_01);
    try {
      this.#store.run(
        `INSERT INTO sandboxes (id, task_id, app_id, name, status, spec, sealed_env, tags, created_at, deadline_at,
           idempotency_key) VALUES (?, ?, ?, ?, 'creating', ?, ?, ?, ?, ?, ?)`,
        sandbox.id,
        sandbox.taskId,
        sandbox.appId,
        sandbox.name ?? null,
        JSON.stringify(sandbox.spec),
        seal(this.#store.keys, sandbox.env),
        JSON.stringify(sandbox.tags),
        createdAt,
        createdAt + sandbox.spec.timeoutMs / 1000,
        sandbox.idempotencyKey ?? null,
      );
    } catch (error) {
      if (isTaken(error) && sandbox.name !== undefined) throw refuse.sandboxNameExists(sandbox.name);
      throw error;
    }
    return this.byId(sandbox.id);
  }

  remove(id: string): void {
    this.#store.run("DELETE FROM sandboxes WHERE id = ?", id);
  }

  /** Throws NOT_FOUND. */
  byId(id: string): SandboxRecord {
    const record = isId(id, "sb") ? this.#one("SELECT * FROM sandboxes WHERE id = ?", id) : undefined;
    if (!record) throw refuse.sandboxNotFound(shown(id));
    return record;
  }

  byTask(taskId: string): SandboxRecord {
    const record = isId(taskId, "ta") ? this.#one("SELECT * FROM sandboxes WHERE task_id = ?", taskId) : undefined;
    if (!record) throw refuse.taskNotFound(shown(taskId));
    return record;
  }

  exists(id: string): boolean {
    return this.#store.get("SELECT 1 AS found FROM sandboxes WHERE id = ?", id) !== undefined;
  }

  byIdempotencyKey(key: string): SandboxRecord | undefined {
    return this.#one("SELECT * FROM sandboxes WHERE idempotency_key = ?", key);
  }

  byName(appId: string, name: string, withFinished: boolean): SandboxRecord | undefined {
    const found = this.#one(
      `SELECT * FROM sandboxes WHERE app_id = ? AND name = ? ${withFinished ? "" : "AND status <> 'finished'"}
       ORDER BY created_at DESC LIMIT 1`,
      appId,
      name,
    );
    return found === undefined || withFinished || lives(found) ? found : undefined;
  }

  alive(): SandboxRecord[] {
    return this.#many("SELECT * FROM sandboxes WHERE status <> 'finished'").filter(lives);
  }

  /** Newest first, created strictly before `before`. */
  page({ appId, before, withFinished, tags, size }: PageFilter): SandboxRecord[] {
    const values: (string | number)[] = [before];
    let sql = "SELECT * FROM sandboxes WHERE created_at < ? AND status <> 'creating'";
    if (!withFinished) sql += " AND status <> 'finished'";
    if (appId !== undefined) {
      sql += " AND app_id = ?";
      values.push(appId);
    }
    for (const { tagName, tagValue } of tags) {
      sql += ` AND EXISTS (SELECT 1 FROM json_each(tags) WHERE json_each.value ->> 'tagName' = ?
        AND json_each.value ->> 'tagValue' = ?)`;
      values.push(tagName, tagValue);
    }
    const page = this.#many(`${sql} ORDER BY created_at DESC LIMIT ${size}`, ...values);
    return withFinished ? page : page.filter(lives);
  }

  setRunning(id: string): void {
    this.#store.run("UPDATE sandboxes SET status = 'running', started_at = ? WHERE id = ?", Date.now() / 1000, id);
  }

  /**
   * How it shall end: written before it is ended. The first word stands. A full disk keeps neither this nor `finish`
   * from being so: what cannot be written is remembered, told to everybody, and written later.
   */
  intend(id: string, result: GenericResult): void {
    this.#remember(id, { intended: result }, () => this.#writeIntended(id, result));
  }

  finish(id: string, result: GenericResult): void {
    const finished = { result, at: Date.now() / 1000 };
    this.#remember(id, { finished }, () => this.#writeFinished(id, finished));
  }

  setTags(id: string, tags: SandboxTag[]): void {
    this.#store.run("UPDATE sandboxes SET tags = ? WHERE id = ?", JSON.stringify(tags), id);
  }

  setName(id: string, name: string): void {
    try {
      this.#store.run("UPDATE sandboxes SET name = ? WHERE id = ?", name, id);
    } catch (error) {
      throw isTaken(error) ? refuse.sandboxNameExists(name) : error;
    }
  }

  setPolicy(id: string, policy: StoredSpec["policy"]): void {
    const sql = "UPDATE sandboxes SET spec = json_set(spec, '$.policy', json(?)) WHERE id = ?";
    this.#store.run(sql, JSON.stringify(policy), id);
  }

  /** Finished ones whose output is still kept, that ended before that time or are not among the newest `keep`. */
  withOldOutput(before: number, keep: number): string[] {
    const sql = `SELECT id FROM sandboxes WHERE status = 'finished' AND output_kept = 1 AND ${isOld}`;
    return this.#store.all(sql, before, keep).map((row) => String(row.id));
  }

  setOutputGone(id: string): void {
    this.#store.run("UPDATE sandboxes SET output_kept = 0 WHERE id = ?", id);
  }

  /** Forgets finished ones without output, that ended before that time or are not among the newest `keep`. */
  removeFinished(before: number, keep: number): void {
    const sql = `DELETE FROM sandboxes WHERE status = 'finished' AND output_kept = 0 AND ${isOld}`;
    this.#store.run(sql, before, keep);
  }

  /** Writes the ends for which there was no room on the disk when they came; throws while there is none. */
  writePending(): void {
    for (const [id, { intended, finished }] of this.#pending) {
      if (intended !== undefined) this.#writeIntended(id, intended);
      if (finished !== undefined) this.#writeFinished(id, finished);
      this.#pending.delete(id);
    }
  }

  #one(sql: string, ...values: string[]): SandboxRecord | undefined {
    const row = this.#store.get(sql, ...values);
    return row && this.#toRecord(row);
  }

  #many(sql: string, ...values: (string | number)[]): SandboxRecord[] {
    return this.#store.all(sql, ...values).map((row) => this.#toRecord(row));
  }

  #toRecord(row: Row): SandboxRecord {
    const record = this.#fromRow(row);
    const end = this.#pending.get(record.id);
    if (end === undefined) return record;
    record.result ??= end.intended ?? end.finished?.result;
    if (end.finished === undefined) return record;
    return { ...record, status: "finished", finishedAt: record.finishedAt ?? end.finished.at };
  }

  #fromRow(row: Row): SandboxRecord {
    return {
      id: String(row.id),
      taskId: String(row.task_id),
      appId: String(row.app_id),
      name: text(row.name),
      status: row.status as SandboxStatus,
      spec: JSON.parse(String(row.spec)) as StoredSpec,
      env: unseal(this.#store.keys, row.sealed_env as Uint8Array),
      tags: JSON.parse(String(row.tags)) as SandboxTag[],
      result: row.result == null ? undefined : (JSON.parse(String(row.result)) as GenericResult),
      createdAt: Number(row.created_at),
      startedAt: number(row.started_at),
      finishedAt: number(row.finished_at),
      deadlineAt: Number(row.deadline_at),
    };
  }

  #remember(id: string, end: PendingEnd, write: () => void): void {
    try {
      if (!this.#pending.has(id)) {
        write();
        return;
      }
    } catch (error) {
      if (!isNoRoom(error)) throw error;
    }
    // The first word stands here too.
    this.#pending.set(id, { ...end, ...this.#pending.get(id) });
  }

  #writeIntended(id: string, result: GenericResult): void {
    const sql = "UPDATE sandboxes SET result = ? WHERE id = ? AND result IS NULL AND status <> 'finished'";
    this.#store.run(sql, JSON.stringify(result), id);
  }

  #writeFinished(id: string, { result, at }: { result: GenericResult; at: number }): void {
    const sql =
      "UPDATE sandboxes SET status = 'finished', result = coalesce(result, ?), finished_at = ? WHERE id = ? AND status <> 'finished'";
    this.#store.run(sql, JSON.stringify(result), at, id);
  }
}

const isOld = `(finished_at < ? OR created_at <=
  (SELECT created_at FROM sandboxes WHERE status = 'finished' ORDER BY created_at DESC LIMIT 1 OFFSET ?))`;

function lives(record: SandboxRecord): boolean {
  return record.status !== "finished";
}

function text(value: unknown): string | undefined {
  return value == null ? undefined : String(value);
}

function number(value: unknown): number | undefined {
  return value == null ? undefined : Number(value);
}
