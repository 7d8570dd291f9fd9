import { asString, isObject } from "./json.ts";

const encoder = new TextEncoder();

export function utf8Bytes(text: string): number {
  return encoder.encode(text).length;
}

/** The beginning of `text` that fits into `maxBytes` of UTF-8, never cut inside a character. */
export function clipText(text: string, maxBytes: number): string {
  // A UTF-16 unit is at most three bytes of UTF-8.
  if (text.length * 3 <= maxBytes) return text;
  const target = new Uint8Array(Math.max(0, maxBytes));
  const { read } = encoder.encodeInto(text, target);
  return read >= text.length ? text : text.slice(0, read);
}

/** As `clipText`, with a mark that something is missing. */
export function shorten(text: string, maxBytes: number): string {
  const clipped = clipText(text, maxBytes);
  return clipped.length === text.length ? text : `${clipped}…`;
}

/** Lines as an editor counts them: a newline at the end does not begin another. */
export function countLines(text: string): number {
  if (text === "") return 0;
  let lines = text.endsWith("\n") ? 0 : 1;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) lines++;
  return lines;
}

const maxDetailTextBytes = 8 * 1024;
const maxDetailItems = 100;
const maxPatchLines = 400;
const maxDetailBytes = 64 * 1024;

/**
 * `tool_use_result` for the page: without whole files and images (the raw line keeps them), long texts cut, a patch of
 * at most 400 lines. Undefined when nothing is left or when it is only the error text again.
 */
export function clipDetails(value: unknown): unknown {
  if (!isObject(value) && !Array.isArray(value)) return undefined;
  const clipped = clipValue(value, 0);
  if (JSON.stringify(clipped).length <= maxDetailBytes) return clipped;
  if (!isObject(clipped)) return undefined;
  // Still too large: what a diff needs, and the names.
  return Object.fromEntries(
    Object.entries(clipped).filter(([key, item]) => key === "structuredPatch" || !isLarge(item)),
  );
}

function isLarge(value: unknown): boolean {
  return JSON.stringify(value ?? null).length > 2048;
}

function clipValue(value: unknown, depth: number): unknown {
  if (typeof value === "string") return shorten(value, maxDetailTextBytes);
  if (depth > 8) return null;
  if (Array.isArray(value)) return value.slice(0, maxDetailItems).map((item) => clipValue(item, depth + 1));
  if (!isObject(value)) return value;
  const clipped: [string, unknown][] = [];
  for (const [key, item] of Object.entries(value)) {
    if (key === "originalFile" || key === "base64") continue;
    // A file's text; a subagent's `content` is a list of blocks and worth showing.
    if (key === "content" && asString(item) !== undefined) continue;
    if (key === "data" && (asString(item)?.length ?? 0) > 1024) continue;
    clipped.push([key, key === "structuredPatch" ? clipPatch(item) : clipValue(item, depth + 1)]);
  }
  return Object.fromEntries(clipped);
}

function clipPatch(patch: unknown): unknown {
  if (!Array.isArray(patch)) return [];
  let left = maxPatchLines;
  const hunks: unknown[] = [];
  for (const hunk of patch) {
    if (left <= 0 || !isObject(hunk) || !Array.isArray(hunk.lines)) break;
    const lines = hunk.lines.slice(0, left).map((line) => clipValue(line, 0));
    left -= lines.length;
    hunks.push({ ...hunk, lines });
  }
  return hunks;
}

/** A whole line for `holdfast.other`: as it is when small, else the beginning of its JSON. */
export function clipLine(value: unknown, maxBytes: number): unknown {
  const text = JSON.stringify(value) ?? "null";
  if (utf8Bytes(text) <= maxBytes) return value;
  return { clipped: true, size_bytes: utf8Bytes(text), head: clipText(text, maxBytes) };
}
