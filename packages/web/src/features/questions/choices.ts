import type { ChoiceQuestion } from "@holdfast/protocol";

/** What is picked in one question. */
export interface Choice {
  labels: readonly string[];
  other: boolean;
  otherText: string;
}

export const noChoice: Choice = { labels: [], other: false, otherText: "" };

/** A label, or null for "Other", is picked or let go. One of them only, unless `multi`. */
export function toggled(choice: Choice, label: string | null, multi: boolean): Choice {
  if (label === null) return multi ? { ...choice, other: !choice.other } : { ...choice, labels: [], other: true };
  if (!multi) return { ...choice, labels: [label], other: false };
  const has = choice.labels.includes(label);
  return { ...choice, labels: has ? choice.labels.filter((each) => each !== label) : [...choice.labels, label] };
}

/** The answers, in the order of the options; empty as long as there is none. */
export function chosen(question: ChoiceQuestion, choice: Choice): string[] {
  const labels = question.options.map(({ label }) => label).filter((label) => choice.labels.includes(label));
  const other = choice.otherText.trim();
  if (!choice.other) return labels;
  return other === "" ? [] : [...labels, other];
}
