import { confirm } from "../client/confirm.ts";
import { connection } from "../client/connection.ts";
import { Sessions } from "../client/sessions.ts";
import type { Handler } from "../command.ts";

export const remove: Handler = async (input, context) => {
  const { out, signal } = context;
  const sessions = new Sessions(connection(input, context));
  const id = await sessions.resolve(input.args[0] ?? "", signal);
  if (input.options.archive === true) {
    await sessions.archive(id, signal);
    out.data({ session_id: id, archived: true });
    out.line(`Archived ${id}. Its log can still be read.`);
    return 0;
  }
  const { title } = await sessions.get(id, signal);
  const named = title === null ? id : `${id} (${title})`;
  if (!(await confirm(`Delete ${named} with its whole conversation?`, input, context))) {
    out.progress("Nothing was deleted.");
    return 1;
  }
  await sessions.delete(id, signal);
  out.data({ session_id: id, deleted: true });
  out.line(`Deleted ${id}. The workspace's files are still there.`);
  return 0;
};
