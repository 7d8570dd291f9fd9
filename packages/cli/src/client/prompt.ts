import { buffer as readAll } from "node:stream/consumers";
import { maxPromptBytes } from "@holdfast/protocol";
import { type CommandContext, UsageError } from "../command.ts";

/** The text of an argument; `-` is standard input. Throws UsageError when there is none, or it cannot be sent. */
export async function promptFrom(argument: string, { stdin }: CommandContext): Promise<string> {
  if (argument === "-" && stdin.isTTY === true)
    throw new UsageError("`-` reads standard input, which is your terminal", {
      todo: "Pipe a text in, or give it as an argument.",
    });
  const prompt = argument === "-" ? decode(await readAll(stdin)) : argument;
  if (prompt.trim() === "") throw new UsageError("the text is empty", { todo: "Say what is to be done." });
  const bytes = Buffer.byteLength(prompt);
  if (bytes > maxPromptBytes)
    throw new UsageError(`the text has ${bytes} bytes; ${maxPromptBytes} are the most that is taken`, {
      todo: "Put it into a file of the workspace, and say which one to read.",
    });
  return prompt;
}

/** The beginning of a prompt, as a session's title. */
export function titleOf(prompt: string): string {
  const line = prompt.trim().split("\n")[0] ?? "";
  return line.length <= 80 ? line : `${line.slice(0, 79).trimEnd()}…`;
}

/** Marks in place of what is no character would change what was meant. */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError("standard input is not UTF-8 text", {
      cause: error,
      todo: "Convert it, e.g. with `iconv -t UTF-8`; other files can be read from the workspace.",
    });
  }
}
