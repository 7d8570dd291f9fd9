import type { Holdfast, PermissionRule } from "@holdfast/sdk";
import { connection } from "../client/connection.ts";
import { workspaceNamed } from "../client/workspaces.ts";
import { CliError, type Handler, textOption } from "../command.ts";
import { ago } from "../render/tool-words.ts";

/** What is always allowed in a workspace; with `--delete` one less. */
export const workspaceRules: Handler = async (input, context) => {
  const { out, signal } = context;
  const { holdfast } = connection(input, context);
  const workspace = await workspaceNamed(holdfast, input.args[0] ?? "", signal);
  const all = await Array.fromAsync(holdfast.workspaces.rules(workspace.id, { signal }));
  const gone = textOption(input, "delete");
  if (gone !== undefined) {
    const rule = await remove(holdfast, all, { gone, workspace: workspace.name, signal });
    out.data(rule);
    out.line(`Deleted ${rule.rule} in workspace ${workspace.name}: it is asked again from the next turn on.`);
    return 0;
  }
  const rows = all.map((rule) => ({
    cells: [rule.rule, rule.id, ago(rule.created_at, Date.now()), rule.created_by],
    data: rule,
  }));
  out.table({
    columns: ["RULE", "ID", "ALLOWED", "BY"],
    rows,
    empty: `Nothing is always allowed in workspace ${workspace.name}.`,
  });
  return 0;
};

async function remove(
  holdfast: Holdfast,
  all: readonly PermissionRule[],
  { gone, workspace, signal }: { gone: string; workspace: string; signal: AbortSignal },
): Promise<PermissionRule> {
  const rule = all.find(({ id, rule: text }) => id === gone || text === gone);
  if (rule === undefined) {
    throw new CliError(
      `Workspace ${workspace} has no rule ${JSON.stringify(gone)}`,
      "",
      `\`holdfast workspace rules ${workspace}\` lists them.`,
    );
  }
  return await holdfast.workspaces.deleteRule(rule.workspace_id, rule.id, { signal });
}
