import { createInterface } from "node:readline";
import type { Holdfast } from "@holdfast/sdk";
import { connection } from "../client/connection.ts";
import { sandboxOf } from "../client/sandboxes.ts";
import { CliError, type CommandContext, type Handler } from "../command.ts";

/** Stands between a line's own output and the directory that it ended in. */
const mark = "\u001e";
const script = `cd -- "$1" || exit; eval "$2"; code=$?; printf '\\036%s' "$PWD"; exit $code`;

export const shell: Handler = async (input, context) => {
  const { stdin, signal } = context;
  if (stdin.isTTY !== true)
    throw new CliError(
      "`holdfast sh` needs a terminal",
      "Standard input is not one.",
      "For scripts use `holdfast exec ID -- bash -c '…'`.",
    );
  const { holdfast } = connection(input, context);
  const target = input.args[0] ?? "";
  const sandbox = await sandboxOf(connection(input, context), target, signal);
  context.out.progress(`Sandbox ${sandbox.id}, workspace "${sandbox.workspace}". One line at a time; Ctrl-D leaves.`);
  return await readLines({ holdfast, sandboxId: sandbox.id }, context);
};

async function readLines(target: { holdfast: Holdfast; sandboxId: string }, { stdin, out }: CommandContext) {
  const lines = createInterface({ input: stdin, output: out.stdout, terminal: true });
  let running: AbortController | undefined;
  let directory = "/mnt/workspace";
  let code = 0;
  const ask = () => {
    lines.setPrompt(`${out.paint("blue", directory)} $ `);
    lines.prompt();
  };
  lines.on("SIGINT", () => {
    if (running !== undefined) running.abort("SIGINT");
    else {
      out.stdout.write("^C\n");
      // Takes back what was typed.
      lines.write(null, { ctrl: true, name: "e" });
      lines.write(null, { ctrl: true, name: "u" });
      ask();
    }
  });
  ask();
  for await (const line of lines) {
    if (line.trim() === "exit") break;
    if (line.trim() !== "") {
      running = new AbortController();
      ({ code, directory } = await runLine(target, { line, directory, out, signal: running.signal }));
      running = undefined;
    }
    ask();
  }
  // Leaving the loop does not let go of the terminal by itself.
  lines.close();
  out.stdout.write("\n");
  return code;
}

async function runLine(
  { holdfast, sandboxId }: { holdfast: Holdfast; sandboxId: string },
  {
    line,
    directory,
    out,
    signal,
  }: { line: string; directory: string; out: CommandContext["out"]; signal: AbortSignal },
): Promise<{ code: number; directory: string }> {
  let after: string | undefined;
  try {
    const command = ["bash", "-c", script, "sh", directory, line];
    await using run = await holdfast.sandboxes.exec(sandboxId, command, { signal });
    for await (const { type, text } of run.output) {
      if (type === "stderr") out.stderr.write(text);
      else if (after !== undefined) after += text;
      else {
        const [own = "", rest] = text.split(mark);
        out.stdout.write(own);
        after = rest;
      }
    }
    return { code: await run.exitCode, directory: after === undefined || after === "" ? directory : after };
  } catch (error) {
    if (!signal.aborted) throw error;
    out.stdout.write("^C\n");
    return { code: 130, directory };
  }
}
