import { commands, groups } from "./catalogue.ts";
import { CliError, type Command, type CommandContext, parseInput, UsageError } from "./command.ts";
import { readEnv } from "./config/env.ts";
import { helpOf, nearest, overview } from "./help.ts";
import { createPrinter } from "./printer.ts";

/** Runs one command line. Returns the exit code: 0 done, 1 failed, 2 misused, 130 ended by Ctrl-C. */
export async function run(argv: string[], signal: AbortSignal): Promise<number> {
  const env = readEnv();
  const { stdout, stderr, stdin } = process;
  const out = createPrinter({ ...env, stdout, stderr, json: wantsJson(argv) });
  try {
    return await dispatch(argv, { env, out, signal, stdin, commands });
  } catch (error) {
    if (error instanceof UsageError) {
      const todo =
        error.todo ?? `\`holdfast ${find(argv)?.command.name ?? ""} --help\` says how it is used.`.replace("  ", " ");
      out.error(error.message, "", todo);
      return 2;
    }
    if (signal.aborted && !(error instanceof CliError)) return 130;
    const failure = error instanceof CliError ? error : await (await import("./failure.ts")).inWords(error);
    out.error(failure.message, failure.why, failure.todo);
    return failure.exitCode;
  }
}

/** Known before the command line is: its errors are printed in the same form. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  const own = end < 0 ? argv : argv.slice(0, end);
  return own.some(
    (word, i) =>
      word === "-ojson" ||
      word === "--output=json" ||
      (word === "json" && ["-o", "--output"].includes(own[i - 1] ?? "")),
  );
}

async function dispatch(argv: string[], context: CommandContext): Promise<number> {
  const first = argv[0];
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    const asked = first === "help" ? find(argv.slice(1)) : undefined;
    context.out.line(asked === undefined ? overview(groups) : helpOf(asked.command));
    return first === undefined ? 2 : 0;
  }
  if (first === "--version" || first === "-V") return await call("version", [], context);
  const found = find(argv);
  if (found === undefined) throw unknownCommand(argv);
  const { command, rest } = found;
  const input = parseInput(command, rest);
  if (input.options.help === true) {
    context.out.line(helpOf(command));
    return 0;
  }
  return (await (await command.load())(input, context)) ?? 0;
}

async function call(name: string, rest: string[], context: CommandContext): Promise<number> {
  return await dispatch([name, ...rest], context);
}

function find(argv: readonly string[]): { command: Command; rest: string[] } | undefined {
  // Two words before one: `queue edit` is not `queue`.
  for (const count of [2, 1]) {
    const name = argv.slice(0, count).join(" ");
    const command = commands.find((each) => each.name === name);
    if (command !== undefined) return { command, rest: argv.slice(count) };
  }
  return undefined;
}

function unknownCommand(argv: readonly string[]): UsageError {
  const [first = "", second] = argv;
  const below = commands.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name);
  if (below.length > 0) {
    const todo = `There are: ${below.map((name) => `holdfast ${name}`).join(", ")}.`;
    const given = second === undefined || second.startsWith("-") ? "" : ` ${second}`;
    const what = given === "" ? `\`holdfast ${first}\` needs a second word` : `there is no command "${first}${given}"`;
    return new UsageError(what, { todo });
  }
  const names = commands.map(({ name }) => name);
  const spoken = second === undefined || second.startsWith("-") ? first : `${first} ${second}`;
  const close = nearest(spoken, names) ?? nearest(first, names) ?? synonyms[first];
  const hint = close === undefined ? "" : `Did you mean \`holdfast ${close}\`? `;
  return new UsageError(`there is no command "${first}"`, { todo: `${hint}\`holdfast --help\` lists them all.` });
}

/** What other programs call it. */
const synonyms: Record<string, string> = {
  ps: "ls",
  list: "ls",
  sessions: "ls",
  serve: "up",
  start: "up",
  delete: "rm",
  remove: "rm",
  kill: "stop",
  interrupt: "stop",
  follow: "logs",
  messages: "queue",
  steer: "queue now",
  tail: "logs",
  shell: "sh",
  ssh: "sh",
  connect: "attach",
  keys: "key list",
  accounts: "account list",
  workspaces: "workspace list",
};
