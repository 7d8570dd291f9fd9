import { type CanUseToolRequest, showPath } from "@holdfast/claude";
import type { ChoiceQuestion, EventOf, NewEvent } from "@holdfast/protocol";
import { type StoredSuggestion, suggestionsOf } from "./suggestions.ts";

/** The log's event of a question, without its place. */
export type AskEvent = Extract<NewEvent, { type: "holdfast.permission_request" }>;
export type Shown = Omit<AskEvent, "id" | "type">;

/** What is kept of a question: what was shown, and what Claude Code is told when it is allowed always. */
export interface StoredQuestion {
  shown: Omit<Shown, "input">;
  suggestions: StoredSuggestion[];
}

export interface Asked {
  eventId: string;
  request: CanUseToolRequest;
  /** Where the workspace's symlink leads. */
  volumeRoot: string | null;
  mount: string;
  parentEventId?: string;
}

/** A request of Claude Code, as every device shows it. */
export function present(asked: Asked): { shown: Shown; suggestions: StoredSuggestion[] } {
  const { request, eventId } = asked;
  const kind = kindOf(request.tool_name);
  const path = (text: string) => (asked.volumeRoot === null ? text : showPath(text, asked.volumeRoot, asked.mount));
  const suggestions = suggestionsOf(request);
  const input = clipInput(request.input, path) as Record<string, unknown>;
  const subagent = typeof request.agent_id === "string";
  return {
    suggestions,
    shown: {
      tool_use_id: eventId,
      kind,
      tool_name: request.tool_name,
      title: textOf(request.title) ?? titleOf(request, { kind, subagent, input }),
      description: path(textOf(request.description) ?? ""),
      input,
      reason: reasonOf(request),
      blocked_path: typeof request.blocked_path === "string" ? path(request.blocked_path) : null,
      can_allow: request.decision_reason_type !== "mode",
      suggestions: suggestions.map(({ updates: _updates, ...shown }) => shown),
      ...(kind === "question" ? { questions: choicesOf(request.input) } : {}),
      ...(kind === "plan" ? { plan: textOf(request.input.plan) ?? "" } : {}),
      ...(asked.parentEventId === undefined ? {} : { parent_event_id: asked.parentEventId }),
    },
  };
}

type Kind = EventOf<"holdfast.permission_request">["kind"];

function kindOf(toolName: string): Kind {
  if (toolName === "AskUserQuestion") return "question";
  return toolName === "ExitPlanMode" ? "plan" : "tool";
}

const verbs = new Map([
  ["Bash", "run a command"],
  ["Write", "write"],
  ["Edit", "edit"],
  ["NotebookEdit", "edit"],
  ["Read", "read"],
  ["WebFetch", "fetch"],
]);
const objects = ["file_path", "notebook_path", "url"];

function titleOf(
  request: CanUseToolRequest,
  { kind, subagent, input }: { kind: Kind; subagent: boolean; input: Record<string, unknown> },
): string {
  const who = subagent ? "A subagent" : "Claude";
  if (kind === "question") return `${who} has a question`;
  if (kind === "plan") return `${who} has made a plan`;
  const verb = verbs.get(request.tool_name) ?? `use ${textOf(request.display_name) ?? request.tool_name}`;
  const object = objects.map((name) => textOf(input[name])).find((text) => text !== undefined);
  return `${who} wants to ${verb}${object === undefined ? "" : ` ${object}`}`;
}

function reasonOf(request: CanUseToolRequest): string | null {
  const said = textOf(request.decision_reason);
  if (said !== undefined) return said;
  if (request.decision_reason_type === "mode") return "While a plan is being made nothing may be changed";
  if (request.decision_reason_rule_source === "flagSettings") return "The agent asks before each of these calls";
  return null;
}

/** What `AskUserQuestion` shows. Anything that is no question is left out. */
export function choicesOf(input: Record<string, unknown>): ChoiceQuestion[] {
  const all = Array.isArray(input.questions) ? (input.questions as Record<string, unknown>[]) : [];
  return all.flatMap((each) => {
    const question = textOf(each?.question);
    if (question === undefined) return [];
    const options = Array.isArray(each.options) ? (each.options as Record<string, unknown>[]) : [];
    return [
      {
        question,
        header: textOf(each.header) ?? "",
        multi_select: each.multiSelect === true,
        options: options.flatMap((option) => {
          const label = textOf(option?.label);
          const preview = textOf(option?.preview);
          if (label === undefined) return [];
          return [
            { label, description: textOf(option.description) ?? "", ...(preview === undefined ? {} : { preview }) },
          ];
        }),
      },
    ];
  });
}

const maxTextLength = 16 * 1024;
const pathFields = new Set(["file_path", "path", "notebook_path"]);

function clipInput(value: unknown, path: (text: string) => string, field = "", depth = 0): unknown {
  if (typeof value === "string") return clipText(pathFields.has(field) ? path(value) : value);
  if (typeof value !== "object" || value === null) return value;
  if (depth > 6) return null;
  if (Array.isArray(value)) return value.slice(0, 100).map((item) => clipInput(item, path, "", depth + 1));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, clipInput(item, path, key, depth + 1)]));
}

function clipText(text: string): string {
  return text.length <= maxTextLength ? text : `${text.slice(0, maxTextLength).toWellFormed()}…`;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
