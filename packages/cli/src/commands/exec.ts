import { connection } from "../client/connection.ts";
import { sandboxOf } from "../client/sandboxes.ts";
import { type Handler, textOption } from "../command.ts";

export const exec: Handler = async (input, context) => {
  const { out, signal } = context;
  const [target = "", ...command] = input.args;
  const server = connection(input, context);
  const sandbox = await sandboxOf(server, target, signal);
  const seconds = textOption(input, "timeout");
  const since = performance.now();
  await using run = await server.holdfast.sandboxes.exec(sandbox.id, command, {
    signal,
    ...(input.options.root === true ? { user: "root" } : {}),
    ...(seconds === undefined ? {} : { timeoutMs: Number(seconds) * 1000 }),
  });
  for await (const chunk of run.output) {
    if (out.json) out.data(chunk);
    else {
      const stream = chunk.type === "stdout" ? out.stdout : out.stderr;
      // A reader that is slower than the command holds it back, instead of filling our memory.
      if (!stream.write(chunk.text)) await new Promise<void>((resolve) => stream.once("drain", resolve));
    }
  }
  const code = await run.exitCode;
  out.data({ type: "exit", code });
  const isOver = seconds !== undefined && performance.now() - since >= Number(seconds) * 1000;
  if (isOver && code !== 0) out.progress(`The time limit of ${seconds} s is over: the command was ended.`);
  return code;
};
