import { type Connection, connection } from "../client/connection.ts";
import { beganAfterStop, runningMessage, waitsIn } from "../client/queue.ts";
import { sandboxById } from "../client/sandboxes.ts";
import { Sessions } from "../client/sessions.ts";
import { type CommandContext, type Handler, type ParsedInput, textOption, UsageError } from "../command.ts";
import { beginningOf } from "../render/messages.ts";

export const stop: Handler = async (input, context) => {
  const given = input.args[0] ?? "";
  if (given === "last" || given.startsWith("sesn_")) return await stopTurn(input, context);
  for (const name of ["message", "task"])
    if (textOption(input, name) !== undefined) throw new UsageError(`--${name} goes with a session`);
  const { out, signal } = context;
  const { holdfast } = connection(input, context);
  const sandbox = await sandboxById(holdfast, given, signal);
  await holdfast.sandboxes.stop(sandbox.id, { signal });
  out.data({ sandbox_id: sandbox.id, stopped: true });
  out.line(`Stopped sandbox ${sandbox.id}. The workspace "${sandbox.workspace}" is kept.`);
};

/** Names the turn that it means: whatever follows goes on. */
async function stopTurn(input: ParsedInput, context: CommandContext): Promise<undefined> {
  const { out, signal } = context;
  const server = connection(input, context);
  const sessions = new Sessions(server);
  const id = await sessions.resolve(input.args[0] ?? "", signal);
  const named = textOption(input, "message");
  const task = textOption(input, "task");
  if (task !== undefined) return await stopTask(server, { id, task, context });
  const { status } = await sessions.get(id, signal);
  const running = status === "running" || status === "rescheduling";
  const open = await server.holdfast.messages.list(id, { signal });
  const message = named === undefined ? runningMessage(open) : open.find((each) => each.id === named);
  if (named === undefined ? !running && message === undefined : message === undefined) {
    out.data({ session_id: id, stopped: false });
    out.line(named === undefined ? `Nothing is running in ${id}.` : `The turn of ${named} is over already.`);
    return;
  }
  if (named === undefined && message !== undefined) {
    const types = ["user.interrupt", "holdfast.message"];
    const newest = await Array.fromAsync(sessions.events(id, { types, tail: 20, signal }));
    if (beganAfterStop(newest, message.id, performance.timeOrigin)) {
      out.data({ session_id: id, message_id: message.id, stopped: false });
      out.line(`A turn of ${id} was stopped just now; the next message goes on: ${beginningOf(message.content)}`);
      out.progress(`To stop that one, too: holdfast stop ${id} --message ${message.id}`);
      return;
    }
  }
  await sessions.interrupt(id, { messageId: message?.id, signal });
  out.data({ session_id: id, ...(message === undefined ? {} : { message_id: message.id }), stopped: true });
  const waited = message !== undefined && waitsIn(open, message.id);
  const what = message === undefined ? "what Claude does by itself in" : "the turn of";
  out.line(waited ? `Removed ${message.id}: it waited, and will not run.` : `Stopping ${what} ${id}.`);
}

/** One agent, shell or monitor; the turn, if there is one, goes on. */
async function stopTask(
  { holdfast }: Connection,
  { id, task, context }: { id: string; task: string; context: CommandContext },
): Promise<undefined> {
  const { out, signal } = context;
  out.data(await holdfast.background.stop(id, task, { signal }));
  out.line(`Stopping ${task} in ${id}.`);
}
