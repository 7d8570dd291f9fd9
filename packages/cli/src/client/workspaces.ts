import type { Holdfast, Workspace } from "@holdfast/sdk";
import { CliError } from "../command.ts";

/** By name or id. Throws CliError. */
export async function workspaceNamed(holdfast: Holdfast, name: string, signal: AbortSignal): Promise<Workspace> {
  for await (const workspace of holdfast.workspaces.list({ signal }))
    if (workspace.name === name || workspace.id === name) return workspace;
  throw new CliError(`You have no workspace named "${name}"`, "", "`holdfast workspace list` lists them.");
}
