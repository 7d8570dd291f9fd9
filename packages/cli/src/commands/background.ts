import { connection } from "../client/connection.ts";
import { Sessions } from "../client/sessions.ts";
import type { Handler } from "../command.ts";
import { cleanText } from "../render/clean.ts";

/** What runs in a session beside its turns. */
export const background: Handler = async (input, context) => {
  const { out, signal } = context;
  const sessions = new Sessions(connection(input, context));
  const id = await sessions.resolve(input.args[0] ?? "", signal);
  const { holdfast } = await sessions.get(id, signal);
  const rows = holdfast.background.map((task) => ({
    cells: [task.id, task.kind, cleanText(task.description)],
    data: task,
  }));
  out.table({ columns: ["TASK", "KIND", "WHAT"], rows, empty: `Nothing runs in the background of ${id}.` });
};
