import { once } from "node:events";
import { connection } from "../client/connection.ts";
import { Sessions } from "../client/sessions.ts";
import { createViewer } from "../client/turn.ts";
import { type CommandContext, type Handler, textOption, UsageError } from "../command.ts";

export const logs: Handler = async (input, context) => {
  const { signal } = context;
  const { raw, full, follow } = input.options;
  if (full === true && raw !== true) throw new UsageError("--full goes with --raw");
  if (raw === true && (follow === true || textOption(input, "tail") !== undefined))
    throw new UsageError("--raw prints all that there is: it goes with neither --follow nor --tail");
  const server = connection(input, context);
  const sessions = new Sessions(server);
  const id = await sessions.resolve(input.args[0] ?? "", signal);
  if (raw === true) return await print(await server.holdfast.raw(id, { full: full === true, signal }), context);
  const tail = textOption(input, "tail");
  using viewer = createViewer(context, { echo: true });
  let after = 0;
  for await (const event of sessions.events(id, { signal, ...(tail === undefined ? {} : { tail: Number(tail) }) })) {
    viewer.push(event);
    after = event.seq;
  }
  if (follow !== true) return;
  for await (const frame of sessions.follow(id, { after, signal, onCut: viewer.cut })) viewer.push(frame);
};

/** As it comes, and no faster than it is taken. */
async function print(lines: ReadableStream<Uint8Array>, { out, signal }: CommandContext): Promise<undefined> {
  for await (const chunk of lines) if (!out.stdout.write(chunk)) await once(out.stdout, "drain", { signal });
}
