import type { ClaudeContext } from "@holdfast/protocol";
import { connection } from "../client/connection.ts";
import { Sessions } from "../client/sessions.ts";
import type { Handler } from "../command.ts";
import { ago } from "../render/tool-words.ts";

/** What fills a session's context window. */
export const contextUsage: Handler = async (input, context) => {
  const { out, signal } = context;
  const server = connection(input, context);
  const id = await new Sessions(server).resolve(input.args[0] ?? "", signal);
  const usage = await server.holdfast.claude.get(id, "context", { start: input.options.start === true, signal });
  out.data(usage);
  if (out.json) return;
  for (const line of summary(usage)) out.line(line);
  const rows = usage.categories.map(({ name, kind, tokens }) => ({
    cells: [name, kind, count(tokens), share(tokens, usage.max_tokens)],
    data: undefined,
  }));
  out.table({ columns: ["WHAT", "KIND", "TOKENS", "SHARE"], rows, empty: "Claude Code names nothing in it." });
};

function summary({ model, used_tokens, max_tokens, percent_used, auto_compact, live, as_of }: ClaudeContext): string[] {
  const compact = auto_compact.enabled && auto_compact.at_tokens !== null;
  return [
    `Context of ${model ?? "the model"}: ${count(used_tokens)} of ${count(max_tokens)} tokens (${Math.round(percent_used)} %)`,
    ...(compact ? [`Made shorter by itself from ${count(auto_compact.at_tokens ?? 0)} tokens on`] : []),
    ...(live ? [] : [`Claude Code does not run: as it was last known, ${ago(as_of, Date.now())}`]),
  ];
}

const count = (tokens: number): string => tokens.toLocaleString("en-US").replaceAll(",", " ");
const share = (tokens: number, of: number): string => (of === 0 ? "" : `${((100 * tokens) / of).toFixed(1)} %`);
