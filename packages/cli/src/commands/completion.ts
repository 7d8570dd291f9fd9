import { type Handler, UsageError } from "../command.ts";
import { completionFor, shells } from "../completion-scripts.ts";

export const completion: Handler = async (input, { out, commands }) => {
  const shell = shells.find((each) => each === input.args[0]);
  if (shell === undefined)
    throw new UsageError(`there is no completion for "${input.args[0] ?? ""}"`, {
      todo: `There is one for ${shells.join(", ")}.`,
    });
  out.line(completionFor(shell, commands));
};
