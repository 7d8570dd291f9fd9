import { useFold } from "./contexts.ts";
import css from "./rows.module.css";

const firstLines = 10;
const maxLines = 400;
const firstChars = 4_000;
const maxChars = 200_000;

export interface ClippedTextProps {
  /** Of the row: remembers whether it was unfolded. */
  id: string;
  text: string;
  /** Lines before the server clipped the text, when it did. */
  totalLines?: number | undefined;
  /** Lines shown at first. */
  lines?: number;
}

/** The beginning of a long text, the rest on demand, and never more than a page can bear. */
export function ClippedText({ id, text, totalLines, lines = firstLines }: ClippedTextProps) {
  const [open, toggle] = useFold(`${id}/text`, false);
  const all = text.replace(/\n+$/, "").split("\n");
  const head = all.slice(0, lines).join("\n").slice(0, firstChars);
  const full = all.slice(0, maxLines).join("\n").slice(0, maxChars);
  const total = Math.max(all.length, totalLines ?? 0);
  const hidden = all.length > lines ? total - lines : 0;
  const foldable = full.length > head.length;
  const notShown = open || !foldable ? total - Math.min(all.length, maxLines) : 0;
  return (
    <>
      <pre className={css.output}>{open ? full : head}</pre>
      {notShown > 0 && <p className={css.note}>{notShown} more lines are not shown here.</p>}
      {foldable && (
        <button type="button" className={css.more} aria-expanded={open} onClick={toggle}>
          {open ? "Show less" : hidden > 0 ? `Show ${hidden} more` : "Show all of it"}
        </button>
      )}
    </>
  );
}
