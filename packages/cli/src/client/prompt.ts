import { text as readAll } from "node:stream/consumers";
import { type CommandContext, UsageError } from "../command.ts";

/** The text of an argument; `-` is standard input. Throws UsageError when there is none. */
export async function promptFrom(argument: string, { stdin }: CommandContext): Promise<string> {
  if (argument === "-" && stdin.isTTY === true)
    throw new UsageError("`-` reads standard input, which is your terminal", {
      todo: "Pipe a text in, or give it as an argument.",
    });
  const prompt = argument === "-" ? await readAll(stdin) : argument;
  if (prompt.trim() === "") throw new UsageError("the text is empty", { todo: "Say what is to be done." });
  return prompt;
}

/** The beginning of a prompt, as a session's title. */
export function titleOf(prompt: string): string {
  const line = prompt.trim().split("\n")[0] ?? "";
  return line.length <= 80 ? line : `${line.slice(0, 79).trimEnd()}…`;
}
