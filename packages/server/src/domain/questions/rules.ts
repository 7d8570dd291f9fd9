import { AppError, newId, type PermissionRule } from "@holdfast/protocol";
import type { Selectable } from "kysely";
import type { Clock } from "../../ports/clock.ts";
import type { Database, Schema, Tx } from "../../ports/database.ts";
import { afterPage, type Page, type PageRequest, toPage } from "../paging.ts";
import { decodeText, encodeText } from "../text.ts";

/** What is always allowed in a workspace, oldest first, as Claude Code's settings take it. */
export async function workspaceRules(db: Database, workspaceId: string): Promise<string[]> {
  const rows = await living(db, workspaceId).select("rule").orderBy("id").execute();
  return rows.map(({ rule }) => decodeText(rule));
}

/** Of the workspace that the session works in. */
export async function sessionRules(db: Database, sessionId: string): Promise<string[]> {
  return await workspaceRules(db, (await sessionRow(db, sessionId)).workspace_id);
}

/** Whether the process was given rules that are no more. */
export async function hasDeletedRules(db: Database, processId: string): Promise<boolean> {
  const row = await db
    .selectFrom("processes")
    .innerJoin("sessions", "sessions.id", "processes.session_id")
    .innerJoin("permission_rules", "permission_rules.workspace_id", "sessions.workspace_id")
    .select("permission_rules.id")
    .where("processes.id", "=", processId)
    .whereRef("permission_rules.deleted_at", ">=", "processes.created_at")
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Stored once, however often they are allowed. */
export async function rememberRules(
  tx: Tx,
  { sessionId, rules, by, nowMs }: { sessionId: string; rules: readonly string[]; by: string; nowMs: number },
): Promise<void> {
  if (rules.length === 0) return;
  const { account_id, workspace_id } = await sessionRow(tx, sessionId);
  for (const rule of rules) {
    await tx
      .insertInto("permission_rules")
      .values({
        id: newId("rule", nowMs),
        account_id,
        workspace_id,
        rule: encodeText(rule),
        session_id: sessionId,
        created_by: encodeText(by),
        created_at: nowMs,
        deleted_at: null,
      })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

/** What a reader can see and take back of them. */
export class PermissionRules {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor({ db, clock }: { db: Database; clock: Clock }) {
    this.#db = db;
    this.#clock = clock;
  }

  /** Oldest first. */
  async list(accountId: string, workspaceId: string, page: PageRequest): Promise<Page<PermissionRule>> {
    await this.#checkWorkspace(accountId, workspaceId);
    let query = living(this.#db, workspaceId).selectAll();
    const last = afterPage(page, "permission_rules");
    if (last !== undefined) query = query.where("id", ">", last);
    const rows = await query
      .orderBy("id")
      .limit(page.limit + 1)
      .execute();
    return toPage(rows.map(toView), { of: "permission_rules", limit: page.limit });
  }

  /** From the next process on it is asked again. */
  async delete(accountId: string, workspaceId: string, ruleId: string): Promise<PermissionRule> {
    await this.#checkWorkspace(accountId, workspaceId);
    const row = await this.#db
      .updateTable("permission_rules")
      .set({ deleted_at: this.#clock.now() })
      .where("workspace_id", "=", workspaceId)
      .where("id", "=", ruleId)
      .where("deleted_at", "is", null)
      .returningAll()
      .executeTakeFirst();
    if (row === undefined) throw new AppError("permission_rule_not_found");
    return toView(row);
  }

  async #checkWorkspace(accountId: string, workspaceId: string): Promise<void> {
    const row = await this.#db
      .selectFrom("workspaces")
      .select("id")
      .where("account_id", "=", accountId)
      .where("id", "=", workspaceId)
      .where("deleted_at", "is", null)
      .executeTakeFirst();
    if (row === undefined) {
      throw new AppError("workspace_not_found", { detail: "This account has no workspace with this id" });
    }
  }
}

function living(db: Database, workspaceId: string) {
  return db.selectFrom("permission_rules").where("workspace_id", "=", workspaceId).where("deleted_at", "is", null);
}

function sessionRow(db: Database, sessionId: string) {
  return db
    .selectFrom("sessions")
    .select(["account_id", "workspace_id"])
    .where("id", "=", sessionId)
    .executeTakeFirstOrThrow();
}

function toView(row: Selectable<Schema["permission_rules"]>): PermissionRule {
  return {
    id: row.id,
    workspace_id: row.workspace_id,
    rule: decodeText(row.rule),
    session_id: row.session_id,
    created_by: decodeText(row.created_by),
    created_at: new Date(row.created_at).toISOString(),
  };
}
