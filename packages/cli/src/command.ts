import { parseArgs } from "node:util";
import type { CliEnv } from "./config/env.ts";
import type { Printer } from "./printer.ts";

/** What a command line was wrong about; printed without a stack, exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** A failure in three sentences; printed without a stack, exit code 1. */
export class CliError extends Error {
  override name = "CliError";
  readonly why: string;
  readonly todo: string;
  constructor(what: string, why: string, todo: string, options?: { cause?: unknown }) {
    super(what, options);
    this.why = why;
    this.todo = todo;
  }
}

export interface OptionSpec {
  /** Shown as the value's place holder; a flag when absent. */
  value?: string;
  help: string;
}

export interface CommandContext {
  env: CliEnv;
  out: Printer;
  signal: AbortSignal;
}

export interface Command {
  name: string;
  summary: string;
  /** Positional arguments as shown in the help; those in `[…]` may be left out. */
  args: string[];
  options: Record<string, OptionSpec>;
  run(input: ParsedInput, context: CommandContext): Promise<void>;
}

export interface ParsedInput {
  args: string[];
  options: Record<string, string | boolean | undefined>;
}

/** Reads what follows the command's name. Throws UsageError. */
export function parseInput(command: Command, argv: string[]): ParsedInput {
  const options = Object.fromEntries(
    Object.entries({ ...command.options, help: { help: "" } }).map(([name, spec]) => [
      name,
      { type: "value" in spec && spec.value !== undefined ? ("string" as const) : ("boolean" as const) },
    ]),
  );
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: argv, options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
  const wanted = command.args.filter((name) => !name.startsWith("[")).length;
  const given = parsed.positionals;
  if (parsed.values.help !== true && (given.length < wanted || given.length > command.args.length))
    throw new UsageError(
      `${command.name} takes ${command.args.length === 0 ? "no arguments" : command.args.join(" ")}, got ${given.length === 0 ? "none" : given.join(" ")}`,
    );
  return { args: given, options: parsed.values as ParsedInput["options"] };
}

export function helpOf(command: Command): string {
  const usage = ["holdfast", command.name, ...command.args].join(" ");
  const rows = Object.entries(command.options).map(([name, spec]): [string, string] => [
    `--${name}${spec.value === undefined ? "" : ` ${spec.value}`}`,
    spec.help,
  ]);
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  const lines = rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
  return [
    `${usage}${rows.length > 0 ? " [options]" : ""}`,
    "",
    command.summary,
    ...(lines.length > 0 ? ["", ...lines] : []),
    "",
  ].join("\n");
}
