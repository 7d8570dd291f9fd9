import { connection } from "../client/connection.ts";
import { Sessions } from "../client/sessions.ts";
import { createViewer } from "../client/turn.ts";
import { type Handler, textOption } from "../command.ts";

export const logs: Handler = async (input, context) => {
  const { signal } = context;
  const sessions = new Sessions(connection(input, context));
  const id = await sessions.resolve(input.args[0] ?? "", signal);
  const tail = textOption(input, "tail");
  using viewer = createViewer(context, { echo: true });
  let after = 0;
  for await (const event of sessions.events(id, { signal, ...(tail === undefined ? {} : { tail: Number(tail) }) })) {
    viewer.push(event);
    after = event.seq;
  }
  if (input.options.follow !== true) return;
  for await (const frame of sessions.follow(id, { after, signal, onCut: viewer.cut })) viewer.push(frame);
};
