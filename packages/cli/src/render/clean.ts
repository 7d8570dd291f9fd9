/**
 * What an agent or a tool wrote must not steer the reader's terminal: control characters are shown instead of sent,
 * and so are the marks that turn the direction of text.
 */
export function cleanText(text: string): string {
  return text.replace(/\r\n/g, "\n").replace(hidden, show);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

function show(char: string): string {
  const code = char.charCodeAt(0);
  if (code === 0x7f) return "\u2421";
  return code < 0x20 ? String.fromCharCode(0x2400 + code) : `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
}

/** Columns that a text takes in a terminal: emoji and CJK take two, marks none. */
export function widthOf(text: string): number {
  let width = 0;
  for (const char of text) {
    if (/\p{Mark}|\u200d|\ufe0f/u.test(char)) continue;
    width += wide.test(char) ? 2 : 1;
  }
  return width;
}

const wide =
  /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}]/u;

/** The beginning of a text that fits into `columns`. */
export function fit(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  let result = "";
  let width = 0;
  for (const char of text) {
    width += widthOf(char);
    if (width > columns - 1) break;
    result += char;
  }
  return `${result}…`;
}
