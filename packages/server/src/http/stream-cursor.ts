import { createHash } from "node:crypto";

/**
 * The place in many sessions' logs as one short text: `m1`, then per session ten characters that stand for its id and
 * its `seq` in base 36. Clients send it back as they got it.
 */
export class StreamCursor {
  readonly #places = new Map<string, { key: string; seq: number }>();

  set(sessionId: string, seq: number): void {
    const place = this.#places.get(sessionId);
    if (place === undefined) this.#places.set(sessionId, { key: keyOf(sessionId), seq });
    else place.seq = seq;
  }

  delete(sessionId: string): void {
    this.#places.delete(sessionId);
  }

  toString(): string {
    let text = version;
    for (const { key, seq } of this.#places.values()) text += `.${key}${seq.toString(36)}`;
    return text;
  }
}

/** Undefined when it is not one of ours. Sessions that it does not know have no cursor. */
export function decodeCursor(text: string): { get(sessionId: string): number | undefined } | undefined {
  if (text.length > maxCursorLength || !pattern.test(text)) return undefined;
  const entries = text.split(".").slice(1);
  const seqs = new Map(
    entries.map((entry) => [entry.slice(0, keyLength), Number.parseInt(entry.slice(keyLength), 36)]),
  );
  return { get: (sessionId) => seqs.get(keyOf(sessionId)) };
}

export const maxCursorLength = 4096;
const version = "m1";
const keyLength = 10;
const pattern = /^m1(\.[\w-]{10}[0-9a-z]{1,9})*$/;

/** Sixty bits of the id's hash: an account would need a thousand million sessions before two of them met. */
const keyOf = (sessionId: string) => createHash("sha256").update(sessionId).digest("base64url").slice(0, keyLength);
