import { memo, useState } from "react";
import { background } from "../state/background.ts";
import css from "./code-block.module.css";

const chunkLines = 50;

/**
 * A block of code. Long ones are laid out in chunks of which the browser only paints those in view; the heights are
 * exact, so nothing jumps.
 */
export const CodeBlock = memo(function CodeBlock({ text, language }: { text: string; language: string }) {
  const lines = text.split("\n");
  const chunks: string[] = [];
  for (let at = 0; at < lines.length; at += chunkLines) chunks.push(lines.slice(at, at + chunkLines).join("\n"));
  const name = language.split(/\s/)[0] ?? "";
  return (
    <div className={css.frame}>
      <div className={css.bar}>
        <span>{name || "text"}</span>
        <CopyButton text={text} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: wide code scrolls, and the keyboard must be able to do it */}
      <pre className={css.code} tabIndex={0}>
        {chunks.length === 1 ? (
          <code>{text}</code>
        ) : (
          <code>
            {chunks.map((chunk, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: chunks have no identity but their place
              <span key={i} className={css.chunk}>
                {chunk}
                {"\n"}
              </span>
            ))}
          </code>
        )}
      </pre>
    </div>
  );
});

/** Copies from the model, not from the page: skipped chunks would be missing there. */
export function CopyButton({ text }: { text: string }) {
  const [said, setSaid] = useState("Copy");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      // Without permission (or outside of a secure context) the reader selects the text by hand.
      setSaid("Select and copy by hand");
    }
    setTimeout(() => setSaid("Copy"), 2_000);
  };
  return (
    <button type="button" className={css.copy} onClick={() => background(copy())}>
      {said}
    </button>
  );
}
