import { confirm } from "../client/confirm.ts";
import { connection } from "../client/connection.ts";
import { workspaceNamed } from "../client/workspaces.ts";
import type { Handler } from "../command.ts";
import { ago, plural } from "../render/tool-words.ts";

export const workspaceList: Handler = async (input, context) => {
  const { out, signal } = context;
  const all = await Array.fromAsync(connection(input, context).holdfast.workspaces.list({ signal }));
  const rows = all.map((workspace) => ({
    cells: [workspace.name, workspace.id, ago(workspace.created_at, Date.now())],
    data: workspace,
  }));
  const empty = "There are no workspaces yet; the first run makes one named default.";
  out.table({ columns: ["WORKSPACE", "ID", "CREATED"], rows, empty });
};

export const workspaceAdd: Handler = async (input, context) => {
  const { out, signal } = context;
  const name = input.args[0] ?? "";
  const made = await connection(input, context).holdfast.workspaces.create({ name }, { signal });
  out.data(made);
  out.line(`Workspace ${made.name} (${made.id}). Use it with: holdfast run -w ${made.name} "PROMPT"`);
};

export const workspaceRename: Handler = async (input, context) => {
  const { out, signal } = context;
  const { holdfast } = connection(input, context);
  const workspace = await workspaceNamed(holdfast, input.args[0] ?? "", signal);
  const renamed = await holdfast.workspaces.rename(workspace.id, input.args[1] ?? "", { signal });
  out.data(renamed);
  out.line(`Workspace ${workspace.name} is now called ${renamed.name}.`);
};

export const workspaceRemove: Handler = async (input, context) => {
  const { out, signal } = context;
  const { holdfast } = connection(input, context);
  const workspace = await workspaceNamed(holdfast, input.args[0] ?? "", signal);
  if (!(await confirm(`Delete workspace ${workspace.name} with all its files?`, input, context))) {
    out.progress("Nothing was deleted.");
    return 1;
  }
  const { gone, kept, ...deleted } = await holdfast.workspaces.delete(workspace.id, { signal });
  out.data({ ...deleted, gone, kept });
  const ended = gone.sessions_ended;
  out.line(
    `Deleted workspace ${workspace.name} with its files${ended > 0 ? ` and ended ${plural(ended, "session")}` : ""}.`,
  );
  for (const each of kept) out.progress(`Kept: ${each}`);
  return 0;
};
