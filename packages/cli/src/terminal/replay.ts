/** Asks the terminal emulator something; its answer would be typed into whatever runs now. */
const queries = [
  // Attributes, status and cursor, modes, version, window, keyboard.
  "\\[[>=?]?[0-9;]*c",
  "\\[\\??[56]n",
  "\\[\\??[0-9;]*\\$p",
  "\\[>[0-9]*q",
  "\\[(?:1[1-9]|2[01])t",
  "\\[\\?u",
  // Colours, terminfo, settings.
  "\\](?:4;[0-9]+|1[0-9]|104|52;[a-z]*);\\?(?:\\u0007|\\u001b\\\\)",
  "P(?:\\+q|\\$q)[^\\u001b]*\\u001b\\\\",
];
const query = new RegExp(`\\u001b(?:${queries.join("|")})`, "g");

/** Output of before, to be shown again: without the questions in it that were answered long ago. */
export function withoutQueries(output: Uint8Array): Uint8Array {
  // Byte by byte: whatever it is encoded in comes out as it was.
  return Buffer.from(Buffer.from(output).toString("latin1").replace(query, ""), "latin1");
}
