import { connection } from "../client/connection.ts";
import { promptFrom } from "../client/prompt.ts";
import { runningMessage } from "../client/queue.ts";
import { Sessions } from "../client/sessions.ts";
import type { CommandContext, Handler, ParsedInput } from "../command.ts";
import { beginningOf } from "../render/messages.ts";
import { ago } from "../render/tool-words.ts";

/** What waits in a session, and what is being worked on. */
export const queueList: Handler = async (input, context) => {
  const { out, signal } = context;
  const { holdfast, id } = await target(input, context);
  const open = await holdfast.messages.list(id, { signal });
  const next = runningMessage(open.filter(({ state }) => state === "queued"));
  const rows = open.map((message) => {
    const state = message.state !== "queued" ? "running" : message === next ? "next" : "waits";
    const edited = message.edited_at === null ? "" : ", edited";
    const sent = `${ago(message.created_at, Date.now())}${edited}`;
    return { cells: [message.id, state, sent, beginningOf(message.content)], data: message };
  });
  out.table({ columns: ["MESSAGE", "STATE", "SENT", "TEXT"], rows, empty: `No message waits in ${id}.` });
};

export const queueEdit: Handler = async (input, context) => {
  const text = await promptFrom(input.args[2] ?? "", context);
  const { holdfast, id, messageId } = await target(input, context);
  const message = await holdfast.messages.edit(id, messageId, text, { signal: context.signal });
  context.out.data(message);
  context.out.line(`Changed. What waits in ${id} now says: ${beginningOf(message.content)}`);
};

export const queueRemove: Handler = async (input, context) => {
  const { holdfast, id, messageId } = await target(input, context);
  const removed = await holdfast.messages.remove(id, messageId, { signal: context.signal });
  context.out.data(removed);
  context.out.line(`Removed ${messageId}: Claude will not get it.`);
};

export const queueNow: Handler = async (input, context) => {
  const { holdfast, id, messageId } = await target(input, context);
  const message = await holdfast.messages.steer(id, messageId, { signal: context.signal });
  context.out.data(message);
  context.out.line(`It runs now: ${beginningOf(message.content)}\nFollow it with: holdfast logs ${id} -f`);
};

async function target(input: ParsedInput, context: CommandContext) {
  const server = connection(input, context);
  const id = await new Sessions(server).resolve(input.args[0] ?? "", context.signal);
  return { holdfast: server.holdfast, id, messageId: input.args[1] ?? "" };
}
