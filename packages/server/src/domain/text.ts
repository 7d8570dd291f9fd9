/** Begins an encoded text; a text that itself begins so is encoded as well. */
const mark = "\u0001json:";

// biome-ignore lint/suspicious/noControlCharactersInRegex: NUL is what is looked for.
const unsafe = /\u0000|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

/**
 * Free text as a column can hold it. NUL (refused by PostgreSQL, cut at by C) and lone surrogates (no UTF-8 exists for
 * them) are escaped as in JSON; all other text stands as it is. `decodeText` gives back exactly what came in.
 */
export function encodeText(text: string): string {
  return unsafe.test(text) || text.startsWith(mark) ? mark + JSON.stringify(text) : text;
}

export function decodeText(stored: string): string {
  return stored.startsWith(mark) ? (JSON.parse(stored.slice(mark.length)) as string) : stored;
}
