import { text as readAll } from "node:stream/consumers";
import { CliError, type CommandContext } from "../command.ts";

/** A secret from standard input; in a terminal it is asked for and not shown. Throws CliError. */
export async function readSecret(question: string, { stdin, out, signal }: CommandContext): Promise<string> {
  const text = stdin.isTTY === true ? await ask(question, stdin, { out, signal }) : await readAll(stdin);
  const secret = text.trim();
  if (secret === "")
    throw new CliError("No key was given", "Standard input was empty.", "Paste the key, or pipe it in.");
  return secret;
}

function ask(
  question: string,
  stdin: NodeJS.ReadStream,
  { out, signal }: Pick<CommandContext, "out" | "signal">,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let typed = "";
  const cancelled = (exitCode?: number) =>
    new CliError("Nothing was stored", "You ended the input.", "", exitCode === undefined ? {} : { exitCode });
  const onData = (chunk: Buffer) => {
    for (const char of chunk.toString()) {
      if (char === "\r" || char === "\n") return resolve(typed);
      if (char === "\u0003") return reject(cancelled(130));
      if (char === "\u0004") return reject(cancelled());
      typed = char === "\u007f" || char === "\b" ? typed.slice(0, -1) : typed + char;
    }
  };
  const onAbort = () => reject(cancelled(130));
  // Before the question: what is typed at once must not be shown either.
  stdin.setRawMode(true);
  out.stderr.write(`${question}: `);
  stdin.on("data", onData);
  signal.addEventListener("abort", onAbort, { once: true });
  stdin.resume();
  return promise.finally(() => {
    stdin.setRawMode(false);
    stdin.off("data", onData);
    stdin.pause();
    signal.removeEventListener("abort", onAbort);
    out.stderr.write("\n");
  });
}
