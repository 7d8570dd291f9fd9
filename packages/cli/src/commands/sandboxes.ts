import { connection } from "../client/connection.ts";
import type { Handler } from "../command.ts";
import type { Table } from "../printer.ts";
import { ago } from "../render/tool-words.ts";

export const sandboxes: Handler = async (input, context) => {
  const { holdfast } = connection(input, context);
  const rows: Table["rows"][number][] = [];
  for await (const sandbox of holdfast.sandboxes.list({ signal: context.signal })) {
    if (sandbox.state === "ended" && input.options.all !== true) continue;
    const { id, workspace, state, created_at: created, unknown } = sandbox;
    const shown = unknown == null ? state : `unknown, kept until ${unknown.kept_until}`;
    rows.push({ cells: [id, workspace, shown, ago(created, Date.now())], data: sandbox });
    if (unknown?.detail != null) context.out.progress(`${id}: ${unknown.detail}`);
  }
  const empty = "No sandbox is running; one is started by the next message.";
  context.out.table({ columns: ["SANDBOX", "WORKSPACE", "STATE", "STARTED"], rows, empty });
};
