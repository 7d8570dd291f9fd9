/** A text whose quotations and code are hidden behind marks, so that words inside them are not read as instructions. */
export interface Quoted {
  readonly text: string;
  /** A mark's content or a plain word as a path; undefined when there is none. */
  path(word: string | undefined): string | undefined;
  /** The literal value of a phrase: without its quotes when it is one quotation; with marks shown otherwise. */
  value(phrase: string): string;
  /** The phrase as the user wrote it. */
  show(phrase: string): string;
  /** The code when the whole phrase is code in backticks or a fence. */
  backticks(phrase: string): string | undefined;
}

const FENCE = /```[\w-]*\n([\s\S]*?)\n?```/g;
const CODE = /`([^`\n]+)`/g;
/** An apostrophe inside a word opens nothing. */
const QUOTE = /(?<![\w])(["'“‘])((?:(?!\1)[^“”‘’\n])*?)(?:\1|[”’])(?!\w)/g;
const MARK = /\uE000(\d+)\uE001/g;
const ONE_MARK = /^\s*\uE000(\d+)\uE001\s*$/;

/** Hides fences, backticks and quotations of `input`. */
export function hideQuotes(input: string): Quoted {
  const hidden: { raw: string; inner: string; code: boolean }[] = [];
  const hide =
    (code: boolean, pick: (groups: string[]) => string) =>
    (raw: string, ...groups: string[]) => {
      hidden.push({ raw, inner: pick(groups), code });
      return `\uE000${hidden.length - 1}\uE001`;
    };
  const text = input
    // The marks' own characters mean nothing in a prompt.
    .replaceAll(/[\uE000\uE001]/g, " ")
    .replaceAll(
      FENCE,
      hide(true, ([inner = ""]) => inner),
    )
    .replaceAll(
      CODE,
      hide(true, ([inner = ""]) => inner),
    )
    .replaceAll(
      QUOTE,
      hide(false, ([, inner = ""]) => inner.replaceAll("\\n", "\n").replaceAll("\\t", "\t")),
    );
  const show = (phrase: string) => phrase.replaceAll(MARK, (_, index: string) => hidden[Number(index)]?.raw ?? "");
  const single = (phrase: string) => {
    const index = ONE_MARK.exec(phrase)?.[1];
    return index === undefined ? undefined : hidden[Number(index)];
  };
  return {
    text,
    path: (word) => {
      if (word === undefined) return undefined;
      const path = (single(word)?.inner ?? word.replace(/(?<=\w)[.,:;]+$/, "")).trim();
      return path === "" || path.includes("\n") ? undefined : path;
    },
    value: (phrase) => single(phrase)?.inner ?? show(phrase).trim(),
    show,
    backticks: (phrase) => {
      const mark = single(phrase);
      return mark?.code ? mark.inner.trim() : undefined;
    },
  };
}
