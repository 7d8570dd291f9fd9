import { parseArgs } from "node:util";
import type { CliEnv } from "./config/env.ts";
import type { Printer } from "./printer.ts";

/** What a command line was wrong about; printed without a stack, exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
  /** The way out, when it is not just the help. */
  readonly todo: string | undefined;
  constructor(message: string, options: { cause?: unknown; todo?: string } = {}) {
    super(message, { cause: options.cause });
    this.todo = options.todo;
  }
}

/** A failure in three sentences; printed without a stack, exit code 1 unless it has another. */
export class CliError extends Error {
  override name = "CliError";
  readonly why: string;
  readonly todo: string;
  readonly exitCode: number;
  constructor(what: string, why: string, todo: string, options: { cause?: unknown; exitCode?: number } = {}) {
    super(what, { cause: options.cause });
    this.exitCode = options.exitCode ?? 1;
    this.why = why;
    this.todo = todo;
  }
}

export interface OptionSpec {
  /** Shown as the value's place holder; a flag when absent. */
  value?: string;
  /** One letter. */
  short?: string;
  help: string;
  /** The only values that are taken; also what completion offers. */
  choices?: readonly string[];
  /** Says what is wrong with a value, or nothing. */
  check?: (value: string) => string | undefined;
}

export interface CommandContext {
  env: CliEnv;
  out: Printer;
  /** Aborts at Ctrl-C (reason "SIGINT"), SIGTERM and SIGHUP. */
  signal: AbortSignal;
  stdin: NodeJS.ReadStream;
  /** Every command there is. */
  commands: readonly Command[];
}

/** Exit code; nothing is 0. */
export type Handler = (input: ParsedInput, context: CommandContext) => Promise<number | undefined>;

/** A command is data; what it does is loaded when it is called. */
export interface Command {
  name: string;
  summary: string;
  /** Positional arguments as shown in the help; those in `[…]` may be left out, `…` at the end takes the rest. */
  args: readonly string[];
  options: Record<string, OptionSpec>;
  /** What a stranger must know beyond the summary. */
  details?: string;
  examples?: readonly string[];
  load: () => Promise<Handler>;
}

export interface ParsedInput {
  args: string[];
  options: Record<string, string | boolean | undefined>;
}

export const helpOption: OptionSpec = { short: "h", help: "this text" };

/** Reads what follows the command's name. Throws UsageError. */
export function parseInput(command: Command, argv: string[]): ParsedInput {
  const specs: Record<string, OptionSpec> = { ...command.options, help: helpOption };
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      name,
      {
        type: spec.value === undefined ? ("boolean" as const) : ("string" as const),
        ...(spec.short === undefined ? {} : { short: spec.short }),
      },
    ]),
  );
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: argv, options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(wordsOf(error, command), { cause: error });
  }
  const input = { args: parsed.positionals, options: parsed.values as ParsedInput["options"] };
  if (input.options.help === true) return input;
  checkCount(command, input.args);
  for (const [name, value] of Object.entries(input.options)) {
    const spec = specs[name];
    if (spec !== undefined && typeof value === "string") checkValue(name, value, spec);
  }
  return input;
}

/** `parseArgs` explains itself to programmers; its first sentence is enough here. */
function wordsOf(error: unknown, command: Command): string {
  const text = error instanceof Error ? error.message : String(error);
  const unknown = /Unknown option '(.+?)'/.exec(text)?.[1];
  if (unknown !== undefined) return `\`holdfast ${command.name}\` has no option ${unknown}`;
  return text.split(/\. (?=[A-Z])/)[0] ?? text;
}

function checkCount(command: Command, given: readonly string[]): void {
  const wanted = command.args.filter((name) => !name.startsWith("[")).length;
  const most = command.args.at(-1)?.includes("…") === true ? Number.POSITIVE_INFINITY : command.args.length;
  if (given.length >= wanted && given.length <= most) return;
  const takes = command.args.length === 0 ? "no arguments" : command.args.join(" ");
  const got = given.length === 0 ? "none" : given.map((arg) => JSON.stringify(arg)).join(" ");
  const quote = given.length > most && most > 0 ? " (quote a text of several words)" : "";
  throw new UsageError(`\`holdfast ${command.name}\` takes ${takes}, got ${got}${quote}`);
}

function checkValue(name: string, value: string, spec: OptionSpec): void {
  if (spec.choices !== undefined && !spec.choices.includes(value))
    throw new UsageError(`--${name} takes ${spec.choices.join(" or ")}, got ${JSON.stringify(value)}`);
  const wrong = spec.check?.(value);
  if (wrong !== undefined) throw new UsageError(`--${name} ${wrong}, got ${JSON.stringify(value)}`);
}

/** A value that was given, as text. */
export function textOption(input: ParsedInput, name: string): string | undefined {
  const value = input.options[name];
  return typeof value === "string" ? value : undefined;
}
