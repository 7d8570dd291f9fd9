import { connection } from "../client/connection.ts";
import { promptFrom } from "../client/prompt.ts";
import { Sessions } from "../client/sessions.ts";
import type { Handler } from "../command.ts";

export const send: Handler = async (input, context) => {
  const { out, signal } = context;
  const prompt = await promptFrom(input.args[1] ?? "", context);
  const sessions = new Sessions(connection(input, context));
  const id = await sessions.resolve(input.args[0] ?? "", signal);
  const event = await sessions.send(id, prompt, signal);
  out.data(event ?? { session_id: id });
  out.line(`Sent to ${id}. Follow it with: holdfast logs ${id} -f`);
};
