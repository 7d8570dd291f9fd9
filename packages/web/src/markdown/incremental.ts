import { Lexer, type Token } from "marked";

/** One block of markdown. `id` stays with it from its first character on. */
export interface Block {
  id: number;
  token: Token;
}

/**
 * Splits growing markdown into blocks. Only the tail behind the last closed block is lexed again, so the price of a
 * delta does not grow with the text. A block closes only at a blank line: before that, later text may still change what
 * it is (a paragraph becomes a heading or a table, a list goes on).
 */
export class IncrementalMarkdown {
  #text = "";
  #base = 0;
  /** A carriage return at the end of a delta, until it is known whether a line feed follows. */
  #heldReturn = "";
  #closed: Block[] = [];
  #open: Block[] = [];
  #links: Lexer["tokens"]["links"] = {};

  get text(): string {
    return this.#text;
  }

  /** All blocks so far. Closed ones are the same objects every time. */
  get blocks(): readonly Block[] {
    return [...this.#closed, ...this.#open];
  }

  /** Appends; lexing happens here, so call it once per frame. */
  push(text: string): void {
    // The lexer does the same to its input; done here, lengths of tokens are lengths of our text.
    const whole = this.#heldReturn + text;
    this.#heldReturn = whole.endsWith("\r") ? "\r" : "";
    this.#text += whole.slice(0, whole.length - this.#heldReturn.length).replace(/\r\n?/g, "\n");
    const tokens = this.#lex(this.#text.slice(this.#base));
    let keep = tokens.findLastIndex((token) => token.type !== "space");
    while (keep > 0 && !endsInBlankLine(tokens[keep - 1])) keep--;
    if (keep > 0 && isAmbiguous(this.#text)) keep = 0;
    const closing = keep > 0 ? tokens.slice(0, keep) : [];
    const next = this.#number(tokens.filter((token) => token.type !== "space"));
    const closed = closing.filter((token) => token.type !== "space").length;
    this.#closed.push(...next.slice(0, closed));
    this.#open = next.slice(closed);
    for (const token of closing) {
      this.#base += token.raw.length;
      if (token.type === "def")
        this.#links[token.tag as string] ??= { href: token.href as string, title: token.title as string };
    }
  }

  /** Lexes the whole text once more: link references that came late are resolved then. */
  finish(): readonly Block[] {
    const tokens = new Lexer({ gfm: true }).lex(this.#text).filter((token) => token.type !== "space");
    const before = this.blocks;
    return tokens.map((token, id) => {
      const old = before[id];
      // A block that did not change keeps its object, and so its elements are not made again.
      return old && old.token.raw === token.raw && !token.raw.includes("[") ? old : { id, token };
    });
  }

  #lex(text: string): Token[] {
    const lexer = new Lexer({ gfm: true });
    Object.assign(lexer.tokens.links, this.#links);
    return lexer.lex(text);
  }

  #number(tokens: readonly Token[]): Block[] {
    return tokens.map((token, i) => ({ id: this.#closed.length + i, token }));
  }
}

/** The whole text at once. */
export function parseMarkdown(text: string): readonly Block[] {
  return new Lexer({ gfm: true })
    .lex(text)
    .filter((token) => token.type !== "space")
    .map((token, id) => ({ id, token }));
}

const endsInBlankLine = (token: Token | undefined) =>
  token === undefined || token.type === "space" || /\n[ \t]*\n[ \t]*$/.test(token.raw);

/** The last line may still become an item or a continuation of the list above: indentation, or half a list marker. */
const isAmbiguous = (text: string) => /(?:^|\n)[ \t]*(?:\d{1,9}[.)]?|[-+*>])?[ \t]*$/.test(text);
