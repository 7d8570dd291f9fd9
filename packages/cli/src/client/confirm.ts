import { createInterface } from "node:readline/promises";
import { type CommandContext, type ParsedInput, UsageError } from "../command.ts";

/** Asks before something is lost. Without a terminal `--yes` must have been given. Throws UsageError. */
export async function confirm(question: string, input: ParsedInput, context: CommandContext): Promise<boolean> {
  if (input.options.yes === true) return true;
  const { stdin, out, signal } = context;
  if (stdin.isTTY !== true || out.json)
    throw new UsageError("nobody is here to be asked", { todo: "Add --yes if you are sure." });
  using lines = createInterface({ input: stdin, output: out.stderr });
  const leave = new AbortController();
  lines.on("SIGINT", () => leave.abort("SIGINT"));
  try {
    const answer = await lines.question(`${question} [y/N] `, { signal: AbortSignal.any([signal, leave.signal]) });
    return /^y(es)?$/i.test(answer.trim());
  } catch (error) {
    if (!leave.signal.aborted) throw error;
    out.stderr.write("\n");
    return false;
  }
}
