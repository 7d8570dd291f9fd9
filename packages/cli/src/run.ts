import { CliError, type Command, type CommandContext, helpOf, parseInput, UsageError } from "./command.ts";
import { accountAdd, accountList } from "./commands/account.ts";
import { up } from "./commands/up.ts";
import { readEnv } from "./config/env.ts";
import { createPrinter } from "./printer.ts";

const commands: Command[] = [up, accountAdd, accountList];

/** Runs one command line. Returns the exit code: 0 done, 1 failed, 2 misused. */
export async function run(argv: string[], signal: AbortSignal): Promise<number> {
  const env = readEnv();
  const out = createPrinter({ stdout: process.stdout, stderr: process.stderr, noColor: env.noColor });
  try {
    return await dispatch(argv, { env, out, signal });
  } catch (error) {
    if (error instanceof UsageError) {
      out.error(error.message, "", "holdfast --help lists the commands; holdfast COMMAND --help its options.");
      return 2;
    }
    if (error instanceof CliError) out.error(error.message, error.why, error.todo);
    else
      out.error(
        "Something broke inside Holdfast",
        error instanceof Error ? error.message : String(error),
        "Report this with the command you ran.",
      );
    return 1;
  }
}

async function dispatch(argv: string[], context: CommandContext): Promise<number> {
  const found = findCommand(argv);
  if (found === undefined) {
    const first = argv[0];
    if (first === undefined || first === "--help" || first === "-h" || first === "help") {
      context.out.line(overview());
      return first === undefined ? 2 : 0;
    }
    throw new UsageError(`there is no command "${argv.filter((word) => !word.startsWith("-")).join(" ")}"`);
  }
  const { command, rest } = found;
  const input = parseInput(command, rest);
  if (input.options.help === true) {
    context.out.line(helpOf(command));
    return 0;
  }
  await command.run(input, context);
  return 0;
}

function findCommand(argv: string[]): { command: Command; rest: string[] } | undefined {
  for (const command of commands) {
    const words = command.name.split(" ");
    if (words.every((word, i) => argv[i] === word)) return { command, rest: argv.slice(words.length) };
  }
  return undefined;
}

function overview(): string {
  const rows = commands.map((command): [string, string] => [
    [command.name, ...command.args].join(" "),
    command.summary,
  ]);
  const width = Math.max(...rows.map(([left]) => left.length));
  return [
    "holdfast COMMAND [options]",
    "",
    "Claude Code for many accounts, each in isolated sandboxes on durable workspaces.",
    "",
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
    "",
    "holdfast COMMAND --help says more. Exit codes: 0 done, 1 failed, 2 misused.",
  ].join("\n");
}
