import type { ConfirmationDetails } from "@holdfast/protocol";
import { keyed, type Question } from "../render/question-card.ts";

/** What is sent as `user.tool_confirmation`. */
export interface Reply {
  result: "allow" | "deny";
  deny_message?: string;
  holdfast?: ConfirmationDetails;
}

/** What a line of text means to a question: its answer, the next part of it, or nothing that fits. */
export type Read = { reply: Reply } | { answers: Record<string, string | string[]> } | { unclear: string };

/** Reads what was typed; `answers`: to the question's parts before this one. */
export function readReply(question: Question, typed: string, answers: Record<string, string | string[]> = {}): Read {
  const text = typed.trim();
  if (/^s(top)?$/i.test(text)) return { reply: { result: "deny", holdfast: { stop: true } } };
  if (question.kind === "question") return readChoice(question, text, answers);
  if (/^no?$/i.test(text)) return { reply: { result: "deny" } };
  if (/^y(es)?$/i.test(text)) return canAllow(question, { result: "allow" });
  if (question.kind === "plan" && /^e$/i.test(text))
    return { reply: { result: "allow", holdfast: { mode: "acceptEdits" } } };
  if (question.kind === "plan" && /^d$/i.test(text))
    return { reply: { result: "allow", holdfast: { mode: "default" } } };
  const suggestion = keyed(question).find(([key]) => key === text.toLowerCase())?.[1];
  if (suggestion !== undefined) return { reply: { result: "allow", holdfast: { remember: suggestion.id } } };
  // Words of one letter are slips of the finger.
  if (/^\w?\d?$/.test(text)) return { unclear: hintOf(question) };
  return { reply: { result: "deny", deny_message: text } };
}

/** What is asked for in one line, before what is typed. */
export function hintOf(question: Question, answers: Record<string, unknown> = {}): string {
  if (question.kind === "question") {
    const all = question.questions ?? [];
    const next = all.find(({ question: text }) => !Object.hasOwn(answers, text));
    const which = all.length > 1 ? ` to "${(next?.header || next?.question) ?? ""}"` : "";
    const many = next?.multi_select === true ? "numbers" : "a number";
    return `Answer${which}: ${many}, or your own words; - declines, s stops`;
  }
  if (question.kind === "plan")
    return "Approve? y yes, e and accept its edits, d and ask before each, n no, s stop, or what to change";
  if (!question.can_allow) return "n no, s stop, or say why";
  const always =
    question.suggestions.length === 0
      ? ""
      : ` ${keyed(question)
          .map(([key]) => key)
          .join("/")} always,`;
  return `Allow? y yes,${always} n no, s stop, or say why not`;
}

function canAllow(question: Question, reply: Reply): Read {
  return question.can_allow ? { reply } : { unclear: hintOf(question) };
}

function readChoice(question: Question, text: string, before: Record<string, string | string[]>): Read {
  if (text === "-") return { reply: { result: "deny" } };
  const all = question.questions ?? [];
  const next = all.find((each) => !Object.hasOwn(before, each.question));
  if (next === undefined || text === "") return { unclear: hintOf(question, before) };
  const picked = /^\d+(\s*,\s*\d+)*$/.test(text)
    ? text.split(",").map((part) => next.options[Number(part) - 1]?.label)
    : [];
  if (picked.includes(undefined)) return { unclear: `There are choices 1 to ${next.options.length}` };
  if (picked.length > 1 && !next.multi_select) return { unclear: "It takes one answer" };
  const labels = picked.filter((label) => label !== undefined);
  const answer = labels.length === 0 ? text : labels.length === 1 ? (labels[0] ?? text) : labels;
  const answers = { ...before, [next.question]: answer };
  return Object.keys(answers).length < all.length ? { answers } : { reply: { result: "allow", holdfast: { answers } } };
}
