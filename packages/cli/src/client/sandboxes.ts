import type { Holdfast, Sandbox } from "@holdfast/sdk";
import { CliError } from "../command.ts";
import type { Connection } from "./connection.ts";
import { Sessions } from "./sessions.ts";

/** By our id or the provider's. Throws CliError. */
export async function sandboxById(holdfast: Holdfast, id: string, signal: AbortSignal): Promise<Sandbox> {
  for await (const sandbox of holdfast.sandboxes.list({ signal }))
    if (sandbox.id === id || sandbox.provider_id === id) return sandbox;
  throw new CliError(
    `There is no running sandbox ${id}`,
    "It has ended, or it belongs to another account.",
    "`holdfast sandboxes` lists those that run; a session's id begins with sesn_.",
  );
}

/** The sandbox of a session's workspace, or the one that is named. Throws CliError. */
export async function sandboxOf(connection: Connection, given: string, signal: AbortSignal): Promise<Sandbox> {
  if (given !== "last" && !given.startsWith("sesn_")) return await sandboxById(connection.holdfast, given, signal);
  const sessions = new Sessions(connection);
  const id = await sessions.resolve(given, signal);
  const { workspace } = (await sessions.get(id, signal)).holdfast;
  for await (const sandbox of connection.holdfast.sandboxes.list({ signal }))
    if (sandbox.workspace === workspace && sandbox.state === "running") return sandbox;
  throw new CliError(
    `The workspace "${workspace}" of ${id} has no running sandbox`,
    "One is started by a message and stopped when nothing has happened for a while.",
    `Send a message first: holdfast send ${id} "TEXT"`,
  );
}
