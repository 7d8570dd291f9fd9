import type { PermissionMode } from "@holdfast/claude";
import type { Session, SessionAgent, Todo } from "@holdfast/protocol";
import type { Selectable } from "kysely";
import type { Schema } from "../../ports/database.ts";
import { defaultAgent } from "../agents/default.ts";
import { launchModeOf } from "../agents/launch.ts";
import { decodeText } from "../text.ts";
import { toBackground, type WakeupRow } from "../wakeups/wakeup-rows.ts";
import { workspaceLabel } from "../workspaces/label.ts";
import { backgroundOf } from "./background.ts";
import { toSettings } from "./settings.ts";

export type SessionRow = Selectable<Schema["sessions"]> & {
  workspace_name: string;
  /** How many questions nobody has answered. */
  open_questions: number | string | bigint;
};

/** A row in Managed Agents' shape. `permissionMode`: of the installation; `wakeups`: its own are among them. */
export function toSession(
  row: SessionRow,
  { permissionMode, wakeups }: { permissionMode: PermissionMode; wakeups: readonly WakeupRow[] },
): Session {
  const agent = row.agent_json === null ? null : (JSON.parse(row.agent_json) as SessionAgent);
  return {
    id: row.id,
    type: "session",
    agent: agent ?? { ...defaultAgent },
    environment_id: row.environment_id,
    title: row.title === null ? null : decodeText(row.title),
    status: row.status,
    metadata: JSON.parse(row.metadata_json) as Record<string, string>,
    created_at: new Date(row.created_at).toISOString(),
    updated_at: new Date(row.updated_at).toISOString(),
    archived_at: row.archived_at === null ? null : new Date(row.archived_at).toISOString(),
    budget: null,
    outcome_evaluations: [],
    resources: [],
    stats: { duration_seconds: Math.max(0, (row.updated_at - row.created_at) / 1000) },
    usage: JSON.parse(row.usage_json) as Session["usage"],
    vault_ids: [],
    holdfast: {
      workspace: workspaceLabel(row.workspace_name),
      last_seq: row.last_seq,
      cost_usd: row.cost_usd,
      needs_answer: Number(row.open_questions) > 0,
      background: [...backgroundOf(row), ...wakeups.filter((each) => each.session_id === row.id).map(toBackground)],
      todos: row.todos_json === null ? [] : (JSON.parse(row.todos_json) as Todo[]),
      settings: toSettings(row, launchModeOf(agent, permissionMode)),
    },
  };
}
