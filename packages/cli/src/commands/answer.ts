import { connection } from "../client/connection.ts";
import { OpenQuestions } from "../client/open-questions.ts";
import { Sessions } from "../client/sessions.ts";
import { CliError, type Handler, UsageError } from "../command.ts";
import { resolvedLine } from "../render/question-card.ts";

/** The oldest open question of a session, without a terminal. */
export const answer: Handler = async (input, context) => {
  const { out, signal } = context;
  const sessions = new Sessions(connection(input, context));
  const id = await sessions.resolve(input.args[0] ?? "", signal);
  const questions = new OpenQuestions();
  const types = ["holdfast.permission_request", "holdfast.permission_resolved"];
  for await (const event of sessions.events(id, { signal, types })) questions.take(event);
  if (questions.current === undefined) {
    throw new CliError(`Nothing is asked in ${id}`, "", `What happened there: holdfast logs ${id} -n 20`);
  }
  for (const [index, text] of input.args.slice(1).entries()) {
    const { prompt } = questions;
    const { send, say } = questions.typed(text);
    if (say !== undefined) throw new UsageError(`${JSON.stringify(text)} is no answer: ${say}`, { todo: prompt });
    if (send === undefined) continue;
    if (index < input.args.length - 2) throw new UsageError("more answers than questions", { todo: prompt });
    const resolved = await sessions.confirm(id, send.question.tool_use_id, send.reply, signal);
    out.data(resolved ?? { session_id: id });
    out.line(resolved === undefined ? `Answered in ${id}.` : `${resolvedLine(resolved)}.`);
    return 0;
  }
  throw new UsageError("an answer is missing", { todo: questions.prompt });
};
