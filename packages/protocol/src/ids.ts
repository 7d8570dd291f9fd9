import { z } from "zod";

/** Prefixes of our own ids; Modal's (`sb-`, `vo-`, …) keep Modal's form. */
export const idPrefixes = {
  account: "acc",
  apiKey: "key",
  workspace: "wsp",
  agent: "agent",
  environment: "env",
  session: "sesn",
  event: "sevt",
  process: "prc",
  sandbox: "sbx",
  sync: "syn",
  request: "req",
  server: "srv",
  rule: "rule",
  login: "login",
  terminal: "term",
} as const;

export type IdKind = keyof typeof idPrefixes;

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** `prefix_` + 26 Crockford base32 characters: 48 bits of time in ms, then 80 random bits. Sorts by time of creation. */
export function newId(kind: IdKind, nowMs: number = Date.now()): string {
  let time = "";
  for (let left = nowMs, i = 0; i < 10; i++) {
    time = alphabet.charAt(left % 32) + time;
    left = Math.floor(left / 32);
  }
  let random = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) random += alphabet.charAt(byte % 32);
  return `${idPrefixes[kind]}_${time}${random}`;
}

/** Ids are letters and digits behind their prefix: safe as a file name and as a path segment of a URL. */
export function idSchema(kind: IdKind) {
  return z
    .string()
    .regex(new RegExp(`^${idPrefixes[kind]}_[0-9A-Za-z]{1,64}$`), `must look like ${idPrefixes[kind]}_…`);
}

export function isId(kind: IdKind, value: string): boolean {
  return idSchema(kind).safeParse(value).success;
}
