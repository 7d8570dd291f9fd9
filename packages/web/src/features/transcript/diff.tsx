import type { Hunk } from "./abbreviate.ts";
import { useFold } from "./contexts.ts";
import css from "./rows.module.css";

const firstRows = 16;
const maxRows = 2_000;

interface DiffLine {
  key: string;
  sign: "+" | "-" | " " | "…";
  number: string;
  text: string;
}

function linesOf(hunks: readonly Hunk[]): DiffLine[] {
  const lines: DiffLine[] = [];
  for (const [h, hunk] of hunks.entries()) {
    if (h > 0) lines.push({ key: `${h}`, sign: "…", number: "", text: "" });
    let before = hunk.oldStart;
    let after = hunk.newStart;
    for (const [i, line] of hunk.lines.entries()) {
      const sign = line.startsWith("+") ? "+" : line.startsWith("-") ? "-" : " ";
      const number = sign === "-" ? before : after;
      if (sign !== "+") before++;
      if (sign !== "-") after++;
      lines.push({ key: `${h}.${i}`, sign, number: String(number), text: line.slice(1) });
    }
  }
  return lines;
}

export interface DiffProps {
  id: string;
  hunks: readonly Hunk[];
  /** False where nobody knows which lines of the file they are. */
  numbered?: boolean;
}

/** What an edit changed, or would change. */
export function Diff({ id, hunks, numbered = true }: DiffProps) {
  const [open, toggle] = useFold(`${id}/diff`, false);
  const all = linesOf(hunks);
  const shown = all.slice(0, open ? maxRows : firstRows);
  const cut = all.length - Math.min(all.length, maxRows);
  return (
    <>
      <div className={css.diff}>
        {shown.map((line) => (
          <div key={line.key} className={css.diffLine} data-sign={line.sign}>
            {numbered && (
              <span className={css.diffNumber} aria-hidden="true">
                {line.number}
              </span>
            )}
            <span className={css.diffSign}>{line.sign}</span>
            <span className={css.diffText}>{line.text}</span>
          </div>
        ))}
      </div>
      {open && cut > 0 && <p className={css.note}>{cut} more lines are not shown here.</p>}
      {all.length > firstRows && (
        <button type="button" className={css.more} aria-expanded={open} onClick={toggle}>
          {open ? "Show less" : `Show ${all.length - firstRows} more`}
        </button>
      )}
    </>
  );
}
