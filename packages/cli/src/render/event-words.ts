import type { EventOf } from "@holdfast/protocol";
import { cleanText } from "./clean.ts";
import { plural } from "./tool-words.ts";

type ToolUse = EventOf<"agent.tool_use">;

/** How much of a result is shown. */
export const resultLines = 12;

/** Said when the turn itself did not say how it ended. */
export const idleWords = {
  completed: "",
  stopped: "■ Stopped",
  failed: "❌ Failed",
  limit: "■ Stopped at a limit",
  interrupted: "■ Cut off before its end. Everything shown is kept; send a message to go on.",
} as const;

export function initFacts(event: EventOf<"holdfast.initialized">): string {
  const facts = [
    event.scripted ? "scripted demo, not Claude" : event.model,
    event.claude_code_version === "" ? "" : `Claude Code ${event.claude_code_version}`,
    event.cwd,
  ];
  return cleanText(facts.filter((fact) => fact !== "").join(" · "));
}

/** How Claude Code tells the model that its call was cut off. */
export const stoppedCall = /^The user doesn't want to proceed with this tool use/;

export const textOf = (event: EventOf<"agent.tool_result">) =>
  event.content.map((block) => (block.type === "text" ? block.text : "[image]")).join("\n");

/** The result's first lines, and how many there are beyond them. */
export function bodyOf(event: EventOf<"agent.tool_result">, use: ToolUse | undefined): string[] {
  if (use?.name === "TodoWrite" && !event.is_error) return todoLines(use.input);
  // The file's text, and a note that it was written, say nothing that the call has not said.
  if ((use?.name === "Read" || use?.name === "Write" || use?.name === "Edit") && !event.is_error) return [];
  const text = cleanText(textOf(event).replace(/^<tool_use_error>([\s\S]*)<\/tool_use_error>$/, "$1")).trimEnd();
  if (text === "") return [];
  const lines = text.split("\n");
  const total = Math.max(lines.length, event.holdfast?.lines ?? 0);
  const shown = lines.slice(0, resultLines);
  return total > shown.length ? [...shown, `… ${plural(total - shown.length, "more line")}`] : shown;
}

function todoLines(input: Record<string, unknown>): string[] {
  const todos = Array.isArray(input.todos) ? (input.todos as Record<string, unknown>[]) : [];
  const signs: Record<string, string> = { completed: "✓", in_progress: "▸" };
  return todos.map((todo) => cleanText(`${signs[String(todo.status)] ?? "○"} ${String(todo.content ?? "")}`));
}
