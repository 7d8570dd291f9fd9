import { connection } from "../client/connection.ts";
import { promptFrom } from "../client/prompt.ts";
import { waitsIn } from "../client/queue.ts";
import { Sessions } from "../client/sessions.ts";
import type { Handler } from "../command.ts";

export const send: Handler = async (input, context) => {
  const { out, signal } = context;
  const prompt = await promptFrom(input.args[1] ?? "", context);
  const now = input.options.now === true;
  const server = connection(input, context);
  const sessions = new Sessions(server);
  const id = await sessions.resolve(input.args[0] ?? "", signal);
  const event = await sessions.send(id, prompt, { now, signal });
  out.data(event ?? { session_id: id });
  if (out.json) return;
  const open = await server.holdfast.messages.list(id, { signal });
  const waits = !now && event !== undefined && waitsIn(open, event.id);
  const how = waits ? ` It waits for its turn: holdfast queue ${id}` : now ? " It runs at once." : "";
  out.line(`Sent to ${id}.${how}${waits ? "" : ` Follow it with: holdfast logs ${id} -f`}`);
};
