import type { Terminal } from "@holdfast/sdk";
import { type Connection, connection } from "../client/connection.ts";
import { allTerminals, type PlacedTerminal, terminalById, workspaceOf } from "../client/terminals.ts";
import { CliError, type CommandContext, type Handler, type ParsedInput, textOption } from "../command.ts";
import { Seat, sizeOf } from "../terminal/seat.ts";

/** How long nothing is said while a terminal is being made: most are there at once. */
const quietMs = 500;

export const shell: Handler = async (input, context) => {
  const end = textOption(input, "end");
  if (input.options.list === true) return await listTerminals(connection(input, context), context);
  if (end !== undefined) return await endTerminal(connection(input, context), end, context);
  const { stdin, out, signal } = context;
  if (stdin.isTTY !== true)
    throw new CliError(
      "`holdfast sh` needs a terminal",
      "Standard input is not one.",
      "For scripts use `holdfast exec ID -- bash -c '…'`.",
    );
  const server = connection(input, context);
  const { terminal, workspace } = await terminalFor(server, input, context);
  const back = `holdfast sh --attach ${terminal.id}`;
  out.progress(`Terminal ${terminal.id}, workspace "${workspace}". Enter ~ . leaves it running.`);
  const isOld = input.options.attach !== undefined;
  const outcome = await new Seat({ connection: server, terminal, isOld, stdin, stdout: out.stdout, signal }).sit();
  if (outcome.kind === "left") {
    out.progress(`\nIt goes on while something runs in it. Come back with: ${back}`);
    return 0;
  }
  if (outcome.code === null) out.progress("\nThe shell has ended; its exit code was not seen.");
  return outcome.code ?? 1;
};

async function terminalFor(server: Connection, input: ParsedInput, context: CommandContext): Promise<PlacedTerminal> {
  const { out, signal } = context;
  const attach = textOption(input, "attach");
  if (attach !== undefined) return await terminalById(server.holdfast, attach, signal);
  const { id, name } = await workspaceOf(server, input, signal);
  const timer = setTimeout(() => out.progress(`Getting the sandbox of workspace "${name}" ready…`), quietMs);
  try {
    return { terminal: await server.holdfast.terminals.create(id, sizeOf(out.stdout), { signal }), workspace: name };
  } finally {
    clearTimeout(timer);
  }
}

async function listTerminals({ holdfast }: Connection, { out, signal }: CommandContext): Promise<number> {
  const found: PlacedTerminal[] = [];
  for await (const each of allTerminals(holdfast, signal)) found.push(each);
  out.table({
    columns: ["TERMINAL", "WORKSPACE", "SIZE", "STATE"],
    rows: found.map(({ terminal, workspace }) => ({
      cells: [terminal.id, workspace, `${terminal.cols}x${terminal.rows}`, stateOf(terminal)],
      data: terminal,
    })),
    empty: "There are no terminals. `holdfast sh` makes one.",
  });
  return 0;
}

function stateOf({ state, exit_code: code, is_busy: isBusy }: Terminal): string {
  if (state === "ended") return code === null ? "ended" : `ended (${code})`;
  return isBusy ? "busy" : "at its prompt";
}

async function endTerminal({ holdfast }: Connection, id: string, { out, signal }: CommandContext): Promise<number> {
  const { terminal } = await terminalById(holdfast, id, signal);
  const ended = await holdfast.terminals.end(terminal.workspace_id, terminal.id, { signal });
  out.line(`Ended ${terminal.id}`);
  out.data(ended);
  return 0;
}
