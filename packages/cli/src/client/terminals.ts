import type { Holdfast, Terminal, Workspace } from "@holdfast/sdk";
import { CliError, type ParsedInput, textOption } from "../command.ts";
import type { Connection } from "./connection.ts";
import { sandboxById } from "./sandboxes.ts";
import { Sessions } from "./sessions.ts";
import { workspaceNamed } from "./workspaces.ts";

const defaultWorkspace = "default";

/** What a command line means: by -w, by a session or sandbox, else the default one. Throws CliError. */
export async function workspaceOf(
  connection: Connection,
  input: ParsedInput,
  signal: AbortSignal,
): Promise<{ id: string; name: string }> {
  const { holdfast } = connection;
  const [given] = input.args;
  const name = textOption(input, "workspace");
  if (name !== undefined) return await workspaceNamed(holdfast, name, signal);
  if (given === undefined) return await ensureDefault(holdfast, signal);
  if (given === "last" || given.startsWith("sesn_")) {
    const sessions = new Sessions(connection);
    const session = await sessions.get(await sessions.resolve(given, signal), signal);
    return await workspaceNamed(holdfast, session.holdfast.workspace, signal);
  }
  const sandbox = await sandboxById(holdfast, given, signal);
  return { id: sandbox.workspace_id, name: sandbox.workspace };
}

/** An account has it from its first session on; its first shell may come before. */
async function ensureDefault(holdfast: Holdfast, signal: AbortSignal): Promise<Workspace> {
  for await (const workspace of holdfast.workspaces.list({ signal })) if (workspace.is_default) return workspace;
  return await holdfast.workspaces.create({ name: defaultWorkspace }, { signal });
}

export interface PlacedTerminal {
  terminal: Terminal;
  /** Its name. */
  workspace: string;
}

/** Those of all sandboxes that run. */
export async function* allTerminals(holdfast: Holdfast, signal: AbortSignal): AsyncGenerator<PlacedTerminal> {
  const seen = new Set<string>();
  for await (const sandbox of holdfast.sandboxes.list({ signal })) {
    const { workspace_id: id, workspace } = sandbox;
    if (sandbox.state !== "running" || seen.has(id)) continue;
    seen.add(id);
    for (const terminal of await holdfast.terminals.list(id, { signal })) yield { terminal, workspace };
  }
}

/** By its id. Throws CliError. */
export async function terminalById(holdfast: Holdfast, id: string, signal: AbortSignal): Promise<PlacedTerminal> {
  for await (const found of allTerminals(holdfast, signal)) if (found.terminal.id === id) return found;
  throw new CliError(
    `There is no terminal ${id}`,
    "It was ended, its sandbox has ended, or it belongs to another account.",
    "`holdfast sh --list` lists those that run.",
  );
}
