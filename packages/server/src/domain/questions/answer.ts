import type { PermissionAnswer } from "@holdfast/claude";
import { AppError, type ChoiceQuestion, type ConfirmationDetails, type EventOf } from "@holdfast/protocol";
import type { StoredQuestion } from "./present.ts";
import type { StoredSuggestion } from "./suggestions.ts";

/** What somebody said to a question, before it is looked at. */
export interface Confirmation {
  /** Of the `agent.tool_use` event. */
  eventId: string;
  result: "allow" | "deny";
  denyMessage: string | undefined;
  details: ConfirmationDetails;
  /** Of the confirmation in the request, for errors. */
  path: string;
  /** Who says it. */
  by: string;
}

export type Resolution = Omit<EventOf<"holdfast.permission_resolved">, "id" | "seq" | "processed_at" | "type">;

export interface Decision {
  /** What Claude Code is told. */
  answer: PermissionAnswer;
  resolution: Resolution;
  /** What is allowed from now on. */
  remember: StoredSuggestion | undefined;
  /** The session's permission mode from now on. */
  mode: string | undefined;
}

const denials = {
  tool: "The user refused this. Ask what to do instead, or go on without it.",
  question: "The user declined to answer. Go on as you think best, or ask in other words.",
  plan: "The user wants another plan. Keep planning.",
};

/** Throws `request_invalid` when the answer does not fit the question. */
export function decide(question: StoredQuestion, input: Record<string, unknown>, confirmation: Confirmation): Decision {
  refuseMisplaced(question, confirmation);
  return confirmation.result === "allow" ? allow(question, input, confirmation) : deny(question, confirmation);
}

function deny({ shown: { kind } }: StoredQuestion, { eventId, denyMessage, details, by }: Confirmation): Decision {
  const stop = details.stop === true;
  const message = denyMessage || denials[kind];
  return {
    answer: { behavior: "deny", message, ...(stop ? { interrupt: true } : {}) },
    resolution: {
      tool_use_id: eventId,
      outcome: "denied",
      ...(denyMessage ? { message: denyMessage } : {}),
      ...(stop ? { stopped: true } : {}),
      answered_by: by,
    },
    remember: undefined,
    mode: undefined,
  };
}

function allow(question: StoredQuestion, input: Record<string, unknown>, confirmation: Confirmation): Decision {
  const { details, eventId, by } = confirmation;
  const { kind, questions } = question.shown;
  const remember = rememberOf(question, confirmation);
  const answers = kind === "question" ? answersOf(questions ?? [], confirmation) : undefined;
  const mode = kind === "plan" ? details.mode : remember?.mode;
  const updates = [
    ...(remember?.updates ?? []),
    ...(kind === "plan" && mode !== undefined ? [{ type: "setMode", mode, destination: "session" }] : []),
  ];
  return {
    answer: {
      behavior: "allow",
      updatedInput: answers === undefined ? input : { ...input, answers },
      ...(updates.length === 0 ? {} : { updatedPermissions: updates }),
    },
    resolution: {
      tool_use_id: eventId,
      outcome: "allowed",
      ...(remember === undefined || remember.rules.length === 0 ? {} : { rule: remember.rules.join(", ") }),
      ...(answers === undefined ? {} : { answers }),
      ...(mode === undefined ? {} : { mode }),
      answered_by: by,
    },
    remember,
    mode,
  };
}

function rememberOf({ suggestions }: StoredQuestion, { details, path }: Confirmation): StoredSuggestion | undefined {
  if (details.remember === undefined) return undefined;
  const found = suggestions.find(({ id }) => id === details.remember);
  if (found !== undefined) return found;
  const known = suggestions.map(({ id }) => id).join(", ");
  throw invalid(
    `${path}.holdfast.remember`,
    known === "" ? "nothing can be remembered here" : `must be one of ${known}`,
  );
}

/** As Claude Code takes them: one text each. */
function answersOf(questions: readonly ChoiceQuestion[], { details, path }: Confirmation): Record<string, string> {
  const field = `${path}.holdfast.answers`;
  const given = details.answers;
  if (given === undefined) throw invalid(field, "is needed: this question wants an answer to each of its questions");
  const unknown = Object.keys(given).find((text) => !questions.some(({ question }) => question === text));
  if (unknown !== undefined) throw invalid(field, `"${unknown.slice(0, 100)}" was not asked`);
  return Object.fromEntries(
    questions.map(({ question, multi_select: multi }) => {
      const answer = Object.hasOwn(given, question) ? given[question] : undefined;
      const parts = (typeof answer === "string" ? [answer] : (answer ?? [])).map((part) => part.trim());
      if (parts.length === 0 || parts.includes("")) throw invalid(field, `"${question.slice(0, 100)}" has no answer`);
      if (parts.length > 1 && !multi) throw invalid(field, `"${question.slice(0, 100)}" takes one answer`);
      return [question, parts.join(", ")];
    }),
  );
}

/** A field that means nothing here would be ignored in silence. */
function refuseMisplaced({ shown }: StoredQuestion, { result, denyMessage, details, path }: Confirmation): void {
  const { kind, can_allow: canAllow } = shown;
  const allows = result === "allow";
  if (allows && !canAllow) throw invalid(`${path}.result`, "must be deny: nothing may be changed while a plan is made");
  if (allows && denyMessage) throw invalid(`${path}.deny_message`, "belongs to a denial");
  const misplaced: [keyof ConfirmationDetails, boolean, string][] = [
    ["stop", allows, "belongs to a denial"],
    ["remember", !allows, "belongs to an allowance"],
    ["answers", !allows || kind !== "question", "belongs to an allowed question with choices"],
    ["mode", !allows || kind !== "plan", "belongs to an approved plan"],
  ];
  for (const [name, wrong, message] of misplaced) {
    const value = details[name];
    if (wrong && value !== undefined && value !== false) throw invalid(`${path}.holdfast.${name}`, message);
  }
}

function invalid(path: string, message: string): AppError {
  return new AppError("request_invalid", { detail: `${path}: ${message}`, errors: [{ path, message }] });
}
