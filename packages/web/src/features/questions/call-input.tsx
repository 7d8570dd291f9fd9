import { isRecord } from "../../state/decode.ts";
import type { Hunk } from "../transcript/abbreviate.ts";
import { ClippedText } from "../transcript/clipped-text.tsx";
import { Diff } from "../transcript/diff.tsx";
import css from "./questions.module.css";

type Input = Record<string, unknown>;

const text = (value: unknown) => (typeof value === "string" ? value : "");
const linesOf = (value: string) => (value === "" ? [] : value.replace(/\n$/, "").split("\n"));

/** What would run, nothing left out and nothing hidden: somebody decides by it. */
export function CallInput({ id, tool, input }: { id: string; tool: string; input: Input }) {
  const { subject, hunks, rest } = partsOf(tool, input);
  return (
    <div className={css.input}>
      {subject !== null && (
        <div className={css.subject}>
          <ClippedText id={`${id}/subject`} text={subject} lines={24} />
        </div>
      )}
      {hunks.length > 0 && <Diff id={`${id}/change`} hunks={hunks} numbered={false} />}
      {rest !== null && <ClippedText id={`${id}/rest`} text={rest} lines={24} />}
    </div>
  );
}

interface Parts {
  /** The command, the path, the address. */
  subject: string | null;
  hunks: readonly Hunk[];
  /** Everything else, as JSON. */
  rest: string | null;
}

function partsOf(tool: string, input: Input): Parts {
  const shown = new Map<string, string[]>([
    ["Bash", ["command"]],
    ["Write", ["file_path", "content"]],
    ["Edit", ["file_path", "old_string", "new_string"]],
    ["MultiEdit", ["file_path", "edits"]],
    ["WebFetch", ["url"]],
    ["Read", ["file_path"]],
  ]).get(tool);
  const [name = ""] = shown ?? [];
  if (!shown || typeof input[name] !== "string") return { subject: null, hunks: [], rest: json(input) };
  const left = Object.entries(input).filter(([key]) => !shown.includes(key) && !uninteresting.has(key));
  const hunks = hunksOf(tool, input);
  return { subject: text(input[name]), hunks, rest: left.length === 0 ? null : json(Object.fromEntries(left)) };
}

/** Claude's own words, which the card shows beside, and a default that says nothing. */
const uninteresting = new Set(["description"]);

const json = (value: unknown) => JSON.stringify(value, null, 2);

function hunksOf(tool: string, input: Input): Hunk[] {
  if (tool === "Write") return [hunk([], linesOf(text(input.content)))];
  const edits = tool === "MultiEdit" && Array.isArray(input.edits) ? input.edits.filter(isRecord) : [input];
  if (tool !== "Edit" && tool !== "MultiEdit") return [];
  return edits.map((edit) => hunk(linesOf(text(edit.old_string)), linesOf(text(edit.new_string))));
}

/** Lines that both have at their beginning and end are shown once. */
function hunk(before: readonly string[], after: readonly string[]): Hunk {
  const most = Math.min(before.length, after.length);
  let head = 0;
  while (head < most && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < most - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const middle = (lines: readonly string[]) => lines.slice(head, lines.length - tail);
  const lines = [
    ...before.slice(0, head).map((line) => ` ${line}`),
    ...middle(before).map((line) => `-${line}`),
    ...middle(after).map((line) => `+${line}`),
    ...before.slice(before.length - tail).map((line) => ` ${line}`),
  ];
  return { oldStart: 1, newStart: 1, lines };
}
