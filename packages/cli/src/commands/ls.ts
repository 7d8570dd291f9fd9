import { connection } from "../client/connection.ts";
import { Sessions } from "../client/sessions.ts";
import type { Handler } from "../command.ts";
import type { Table } from "../printer.ts";
import { ago, cost } from "../render/tool-words.ts";

const states = { running: "working", rescheduling: "starting", idle: "idle", terminated: "ended" } as const;

export const list: Handler = async (input, context) => {
  const { out, signal } = context;
  const sessions = new Sessions(connection(input, context));
  const limit = input.options.all === true ? Number.POSITIVE_INFINITY : 20;
  const rows: Table["rows"][number][] = [];
  let more = false;
  for await (const session of sessions.list({ limit: limit + 1, signal })) {
    if (rows.length >= limit) {
      more = true;
      break;
    }
    const cells = [
      session.id,
      states[session.status] ?? session.status,
      session.holdfast.workspace.replace(/~wsp_.*$/, " (deleted)"),
      ago(session.updated_at, Date.now()),
      cost(session.holdfast.cost_usd),
      session.title?.trim() || "(untitled)",
    ];
    rows.push({ cells, data: session });
  }
  if (input.options.quiet === true)
    for (const { cells, data } of rows) out.json ? out.data(data) : out.line(cells[0] ?? "");
  else
    out.table({
      columns: ["SESSION", "STATE", "WORKSPACE", "CHANGED", "COST", "TITLE"],
      rows,
      empty: 'There are no sessions yet. Begin one: holdfast run "PROMPT"',
    });
  if (more) out.progress("There are more: holdfast ls --all");
};
