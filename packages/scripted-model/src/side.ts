import type { ModelRequest } from "./request.ts";
import type { ScriptTurn } from "./types.ts";

/** Answers the CLI's requests for itself, which no script of a test should be spent on. Undefined for a real prompt. */
export function sideTurn(request: ModelRequest): ScriptTurn | undefined {
  if (/create a detailed summary of (?:the|this) conversation/i.test(request.lastUserText)) {
    const asked = request.prompts
      .slice(0, -1)
      .map((prompt) => `- ${prompt.slice(0, 300)}`)
      .join("\n");
    return {
      text: `<summary>\nThe user talked with a scripted demo, not with Claude. The user asked:\n${asked}\n</summary>`,
    };
  }
  if (
    request.tools.size === 0 &&
    /\btitle\b/i.test(request.lastUserText) &&
    /json|concise|sentence case/i.test(request.lastUserText)
  ) {
    return { text: '{"title": "Scripted demo session"}' };
  }
  return undefined;
}
