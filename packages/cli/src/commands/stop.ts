import { connection } from "../client/connection.ts";
import { sandboxById } from "../client/sandboxes.ts";
import { Sessions } from "../client/sessions.ts";
import type { Handler } from "../command.ts";

export const stop: Handler = async (input, context) => {
  const { out, signal } = context;
  const server = connection(input, context);
  const given = input.args[0] ?? "";
  if (given !== "last" && !given.startsWith("sesn_")) {
    const sandbox = await sandboxById(server.holdfast, given, signal);
    await server.holdfast.sandboxes.stop(sandbox.id, { signal });
    out.data({ sandbox_id: sandbox.id, stopped: true });
    out.line(`Stopped sandbox ${sandbox.id}. The workspace "${sandbox.workspace}" is kept.`);
    return;
  }
  const sessions = new Sessions(server);
  const id = await sessions.resolve(given, signal);
  const { status } = await sessions.get(id, signal);
  const running = status === "running" || status === "rescheduling";
  if (running) await sessions.interrupt(id, signal);
  out.data({ session_id: id, stopped: running });
  out.line(running ? `Stopping the turn of ${id}.` : `No turn is running in ${id}.`);
};
