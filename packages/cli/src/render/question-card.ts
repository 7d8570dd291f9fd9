import type { EventOf } from "@holdfast/protocol";
import type { Paint } from "../printer.ts";
import { cleanText } from "./clean.ts";
import { plural } from "./tool-words.ts";

export type Question = EventOf<"holdfast.permission_request">;
export type Resolved = EventOf<"holdfast.permission_resolved">;

const bodyLines = 16;

/** What is asked, and what may be answered beyond yes and no. */
export function questionCard(question: Question, paint: Paint): string {
  const lines = [`❓ ${paint("yellow", cleanText(question.title))}`];
  const add = (text: string) => lines.push(`   ${text}`);
  for (const line of bodyOf(question)) add(line);
  if (question.kind === "tool") {
    if (question.description !== "" && !question.title.includes(question.description))
      add(paint("dim", oneLine(question.description)));
    if (question.reason !== null) add(paint("dim", `Why it asks: ${oneLine(question.reason)}`));
    if (!question.can_allow) add(paint("yellow", "It can only be refused."));
  }
  for (const [key, { label }] of keyed(question)) add(`${paint("bold", key)}  ${oneLine(label)}`);
  return lines.join("\n");
}

/** Suggestions with what is typed for them. */
export function keyed({ suggestions }: Question): [string, Question["suggestions"][number]][] {
  return suggestions.map((each, index) => [suggestions.length === 1 ? "a" : `a${index + 1}`, each]);
}

/** How it ended, in one line. */
export function resolvedLine(event: Resolved): string {
  const by = event.answered_by === undefined ? "" : ` by ${event.answered_by}`;
  if (event.outcome === "allowed") {
    const what = event.answers === undefined ? "Allowed" : "Answered";
    const always = event.rule === undefined ? "" : `, always: ${event.rule}`;
    const mode = event.mode === undefined ? "" : `, permission mode ${event.mode}`;
    return oneLine(`${what}${event.answered_by === undefined ? " before" : by}${always}${mode}`);
  }
  const why = event.message === undefined ? "" : `: ${event.message}`;
  if (event.outcome === "denied") return oneLine(`Refused${by}${event.stopped === true ? ", and stopped" : ""}${why}`);
  return oneLine(`No longer asked${why}`);
}

function bodyOf(question: Question): string[] {
  if (question.kind === "question") return choices(question);
  if (question.kind === "plan") return cleanText(question.plan ?? "").split("\n");
  return clip(toolText(question));
}

function choices({ questions = [] }: Question): string[] {
  return questions.flatMap(({ question, header, options, multi_select: multi }) => [
    `${header === "" ? "" : `[${oneLine(header)}] `}${oneLine(question)}${multi ? " (one or more)" : ""}`,
    ...options.map(({ label, description }, index) => {
      const about = description === "" ? "" : `: ${oneLine(description)}`;
      return `  ${index + 1}  ${oneLine(label)}${about}`;
    }),
  ]);
}

/** The part of the input that matters to whoever allows it. */
function toolText({ tool_name: name, input }: Question): string {
  const text = (field: string) => (typeof input[field] === "string" ? input[field] : "");
  if (name === "Bash") return text("command");
  if (name === "Write") return text("content");
  if (name === "Edit") return [mark("-", text("old_string")), mark("+", text("new_string"))].join("\n");
  // The title says it.
  if (name === "Read" || name === "WebFetch") return "";
  return JSON.stringify(input, null, 1);
}

const mark = (sign: string, text: string) =>
  text
    .split("\n")
    .map((line) => `${sign} ${line}`)
    .join("\n");

function clip(text: string): string[] {
  const lines = cleanText(text).trimEnd().split("\n");
  if (lines.length === 1 && lines[0] === "") return [];
  const more = lines.length - bodyLines;
  return more > 0 ? [...lines.slice(0, bodyLines), `… ${plural(more, "more line")}`] : lines;
}

function oneLine(text: string): string {
  return cleanText(text).replaceAll("\n", " ");
}
