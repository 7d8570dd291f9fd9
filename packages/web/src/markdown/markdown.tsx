import type { Token, Tokens } from "marked";
import { memo, type ReactNode, useRef } from "react";
import { CodeBlock } from "../ui/code-block.tsx";
import { type Block, IncrementalMarkdown, parseMarkdown } from "./incremental.ts";
import { isExternal, safeHref } from "./links.ts";
import css from "./markdown.module.css";

export interface MarkdownProps {
  text: string;
  /** More text is coming: only the tail is parsed again. */
  streaming: boolean;
}

/** Markdown as React elements. No HTML string exists anywhere: raw HTML in the text is shown as text. */
export function Markdown({ text, streaming }: MarkdownProps) {
  const blocks = useBlocks(text, streaming);
  return (
    <div className={css.markdown}>
      {blocks.map((block) => (
        <BlockView key={block.id} block={block} />
      ))}
    </div>
  );
}

/** A function of its arguments; the ref only saves parsing what was parsed before. */
function useBlocks(text: string, streaming: boolean): readonly Block[] {
  const ref = useRef<{ parser: IncrementalMarkdown; fed: string; done: readonly Block[] | null } | null>(null);
  const state = ref.current;
  if (!streaming) {
    if (state?.done && state.fed === text) return state.done;
    const done = state && state.fed !== "" && text.startsWith(state.fed) ? finish(state, text) : parseMarkdown(text);
    ref.current = { parser: state?.parser ?? new IncrementalMarkdown(), fed: text, done };
    return done;
  }
  if (!state || state.done || !text.startsWith(state.fed)) {
    const parser = new IncrementalMarkdown();
    parser.push(text);
    ref.current = { parser, fed: text, done: null };
    return parser.blocks;
  }
  if (text.length > state.fed.length) {
    state.parser.push(text.slice(state.fed.length));
    state.fed = text;
  }
  return state.parser.blocks;
}

function finish(state: { parser: IncrementalMarkdown; fed: string }, text: string): readonly Block[] {
  if (text.length > state.fed.length) state.parser.push(text.slice(state.fed.length));
  return state.parser.finish();
}

const BlockView = memo(function BlockView({ block }: { block: Block }) {
  return blockOf(block.token);
});

function blocksOf(tokens: readonly Token[] | undefined): ReactNode[] {
  // biome-ignore lint/suspicious/noArrayIndexKey: tokens of a block have no identity but their place
  return (tokens ?? []).map((token, i) => <Nested key={i} token={token} />);
}

function Nested({ token }: { token: Token }) {
  return blockOf(token);
}

function blockOf(token: Token): ReactNode {
  switch (token.type) {
    case "heading": {
      const { depth } = token as Tokens.Heading;
      // Below the page's own headings, and without the holes that models leave between levels.
      const Tag = depth <= 2 ? "h3" : "h4";
      return <Tag data-depth={depth}>{inlineOf(token.tokens)}</Tag>;
    }
    case "paragraph":
      return <p>{inlineOf(token.tokens)}</p>;
    case "text":
      return token.tokens ? inlineOf(token.tokens) : (token as Tokens.Text).text;
    case "code":
      return <CodeBlock text={(token as Tokens.Code).text} language={(token as Tokens.Code).lang ?? ""} />;
    case "blockquote":
      return <blockquote>{blocksOf(token.tokens)}</blockquote>;
    case "list":
      return listOf(token as Tokens.List);
    case "table":
      return tableOf(token as Tokens.Table);
    case "hr":
      return <hr />;
    case "checkbox":
      return checkboxOf((token as Tokens.Checkbox).checked);
    case "space":
    case "def":
      return null;
    case "html":
      return <p className={css.raw}>{token.raw.trimEnd()}</p>;
    default:
      return inlineOne(token, 0);
  }
}

function checkboxOf(checked: boolean): ReactNode {
  return (
    <span role="img" aria-label={checked ? "done" : "to do"} className={css.check}>
      {checked ? "☑" : "☐"}
    </span>
  );
}

function listOf(list: Tokens.List): ReactNode {
  const items = list.items.map((item, i) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: items have no identity but their place
    <li key={i} className={item.task ? css.task : undefined}>
      {blocksOf(item.tokens)}
    </li>
  ));
  if (!list.ordered) return <ul>{items}</ul>;
  return <ol start={typeof list.start === "number" ? list.start : 1}>{items}</ol>;
}

function tableOf(table: Tokens.Table): ReactNode {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls, and the keyboard must be able to do it
    <section className={css.tableScroll} tabIndex={0} aria-label="Table">
      <table>
        <thead>
          <tr>
            {table.header.map((cell, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: columns have no identity but their place
              <th key={i} scope="col" data-align={cell.align ?? undefined}>
                {inlineOf(cell.tokens)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, r) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows have no identity but their place
            <tr key={r}>
              {row.map((cell, i) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: columns have no identity but their place
                <td key={i} data-align={cell.align ?? undefined}>
                  {inlineOf(cell.tokens)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function inlineOf(tokens: readonly Token[] | undefined): ReactNode {
  return (tokens ?? []).map((token, i) => inlineOne(token, i));
}

function inlineOne(token: Token, key: number): ReactNode {
  switch (token.type) {
    case "strong":
      return <strong key={key}>{inlineOf(token.tokens)}</strong>;
    case "em":
      return <em key={key}>{inlineOf(token.tokens)}</em>;
    case "del":
      return <del key={key}>{inlineOf(token.tokens)}</del>;
    case "codespan":
      return <code key={key}>{(token as Tokens.Codespan).text}</code>;
    case "br":
      return <br key={key} />;
    case "link":
      return linkOf(token as Tokens.Link, key);
    case "image":
      // Nothing is loaded from elsewhere: an image is a link to it.
      return linkOf({ ...(token as Tokens.Image), type: "link", tokens: [] } as Tokens.Link, key);
    case "checkbox":
      return <span key={key}>{checkboxOf((token as Tokens.Checkbox).checked)} </span>;
    case "escape":
      return (token as Tokens.Escape).text;
    case "text":
      return token.tokens ? <span key={key}>{inlineOf(token.tokens)}</span> : (token as Tokens.Text).text;
    default:
      return token.raw;
  }
}

function linkOf(link: Tokens.Link, key: number): ReactNode {
  const href = safeHref(link.href);
  const label = link.tokens.length > 0 ? inlineOf(link.tokens) : link.text || link.href;
  if (href === null) return <span key={key}>{label}</span>;
  const target = isExternal(href) ? { target: "_blank", rel: "noopener noreferrer" } : {};
  return (
    <a key={key} href={href} {...target}>
      {label}
    </a>
  );
}
