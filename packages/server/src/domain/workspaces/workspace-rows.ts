import { AppError, newId, WorkspaceName } from "@holdfast/protocol";
import { locked, lockName, type Tx } from "../../ports/database.ts";
import { holdAccount } from "../accounts/hold.ts";

export interface Workspace {
  id: string;
  accountId: string;
  name: string;
  /** Names of its volumes at the provider. */
  filesVolume: string;
  stateVolume: string;
}

export const defaultWorkspaceName = "default";

/** For `lockName`: who makes a workspace of this name, or gives it to one. */
export const workspaceLock = (accountId: string, name: string) => `workspace:${accountId}:${name}`;

/** The account's workspace of this name; made when it is first asked for. */
export async function ensureWorkspace(
  tx: Tx,
  input: { accountId: string; name: string; installationId: string; nowMs: number },
): Promise<Workspace> {
  if (!WorkspaceName.safeParse(input.name).success) {
    throw new AppError("workspace_name_invalid", {
      detail: `"${input.name.slice(0, 80)}" is not a workspace name`,
      errors: [{ path: "metadata.holdfast.workspace", message: "has 1 to 64 small letters, digits, - and _" }],
    });
  }
  await holdAccount(tx, input.accountId);
  await lockName(tx, workspaceLock(input.accountId, input.name));
  // As long as this lasts, it is not deleted.
  const row = await tx
    .selectFrom("workspaces")
    .selectAll()
    .where("account_id", "=", input.accountId)
    .where("name", "=", input.name)
    .$call(locked(tx))
    .executeTakeFirst();
  if (row !== undefined) return fromRow(row);
  const id = newId("workspace", input.nowMs);
  const workspace: Workspace = {
    id,
    accountId: input.accountId,
    name: input.name,
    filesVolume: `hf-${input.installationId}-${id}-files`,
    stateVolume: `hf-${input.installationId}-${id}-state`,
  };
  await tx
    .insertInto("workspaces")
    .values({
      id,
      account_id: workspace.accountId,
      name: workspace.name,
      files_volume: workspace.filesVolume,
      state_volume: workspace.stateVolume,
      created_at: input.nowMs,
    })
    .execute();
  return workspace;
}

export function fromRow(row: {
  id: string;
  account_id: string;
  name: string;
  files_volume: string;
  state_volume: string;
}): Workspace {
  return {
    id: row.id,
    accountId: row.account_id,
    name: row.name,
    filesVolume: row.files_volume,
    stateVolume: row.state_volume,
  };
}
