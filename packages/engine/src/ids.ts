import { randomBytes } from "node:crypto";

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** A ULID: 48 bits of milliseconds, 80 random bits, 26 upper-case characters. */
export function ulid(nowMs = Date.now()): string {
  let time = nowMs;
  let head = "";
  for (let i = 0; i < 10; i++) {
    head = crockford.charAt(time % 32) + head;
    time = Math.floor(time / 32);
  }
  let tail = "";
  for (const byte of randomBytes(16)) tail += crockford.charAt(byte % 32);
  return head + tail;
}

/** `prefix-` and 22 characters, as Modal mints ids of apps, images, volumes and secrets. */
export function newId(prefix: "ap" | "im" | "vo" | "st"): string {
  let text = `${prefix}-`;
  while (text.length < 25) {
    for (const byte of randomBytes(32)) {
      // 248 is the largest multiple of 62 below 256: no character is likelier than another.
      if (byte < 248 && text.length < 25) text += base62.charAt(byte % 62);
    }
  }
  return text;
}

/** V2 ids: the SDK takes any sandbox id that is not `sb-` and 22 base62 characters for one. */
export function newSandboxIds(): { sandboxId: string; taskId: string } {
  return { sandboxId: `sb-${ulid()}`, taskId: `ta-${ulid()}` };
}

const idPattern = /^(ap|im|vo|st|sb|ta)-[0-9A-Za-z]{20,40}$/;

/** Whether this could be an id of ours: safe in a path, in SQL and in a log line. */
export function isId(text: string, prefix: "ap" | "im" | "vo" | "st" | "sb" | "ta"): boolean {
  return text.startsWith(`${prefix}-`) && idPattern.test(text);
}

/** How a foreign id is named in an error: clipped, control characters escaped. */
export function shown(id: string): string {
  const clipped = id.length > 80 ? `${id.slice(0, 80)}…` : id;
  return JSON.stringify(clipped).slice(1, -1);
}
