import { createHmac, timingSafeEqual } from "node:crypto";

const name = "holdfast_login";
const lifetimeMs = 30 * 24 * 60 * 60 * 1000;

export interface LoginClaims {
  accountId: string;
  /** The key that it was made with; its revocation ends the login. */
  keyId?: string;
}

/** The whole `set-cookie` line. The value is `accountId[~keyId].expiryMs.signature`. */
export function loginCookie({ accountId, keyId }: LoginClaims, options: { secret: string; nowMs: number }): string {
  const who = keyId === undefined ? accountId : `${accountId}~${keyId}`;
  const payload = `${who}.${options.nowMs + lifetimeMs}`;
  const value = `${payload}.${sign(payload, options.secret)}`;
  return `${name}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${lifetimeMs / 1000}`;
}

/** The account of a `cookie` header; undefined when there is none of ours, `invalid` when it is forged or too old. */
export function readLoginCookie(
  header: string | undefined,
  options: { secret: string; nowMs: number },
): LoginClaims | "invalid" | undefined {
  const entry = header
    ?.split(";")
    .map((part) => part.trim())
    .find((part) => part.startsWith(`${name}=`));
  if (entry === undefined) return undefined;
  const [who, expiry, signature, ...rest] = entry.slice(name.length + 1).split(".");
  if (who === undefined || expiry === undefined || signature === undefined || rest.length > 0) return "invalid";
  const right = equal(signature, sign(`${who}.${expiry}`, options.secret));
  if (!right || !(Number(expiry) > options.nowMs)) return "invalid";
  const [accountId = "", keyId] = who.split("~");
  return { accountId, ...(keyId === undefined ? {} : { keyId }) };
}

/** In a time that does not depend on where they differ. */
export function equal(left: string, right: string): boolean {
  const digest = (text: string) => createHmac("sha256", "compare").update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}

function sign(payload: string, secret: string): string {
  return createHmac("sha256", secret).update(`login:${payload}`).digest("base64url");
}
