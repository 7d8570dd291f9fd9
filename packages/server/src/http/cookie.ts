import { createHmac, timingSafeEqual } from "node:crypto";

const name = "holdfast_login";
const lifetimeMs = 30 * 24 * 60 * 60 * 1000;

/** The whole `set-cookie` line. The value is `accountId.expiryMs.signature`. */
export function loginCookie(accountId: string, options: { secret: string; nowMs: number }): string {
  const payload = `${accountId}.${options.nowMs + lifetimeMs}`;
  const value = `${payload}.${sign(payload, options.secret)}`;
  return `${name}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${lifetimeMs / 1000}`;
}

/** The account of a `cookie` header; undefined when there is none of ours, `invalid` when it is forged or too old. */
export function readLoginCookie(
  header: string | undefined,
  options: { secret: string; nowMs: number },
): { accountId: string } | "invalid" | undefined {
  const entry = header
    ?.split(";")
    .map((part) => part.trim())
    .find((part) => part.startsWith(`${name}=`));
  if (entry === undefined) return undefined;
  const [accountId, expiry, signature, ...rest] = entry.slice(name.length + 1).split(".");
  if (accountId === undefined || expiry === undefined || signature === undefined || rest.length > 0) return "invalid";
  const right = equal(signature, sign(`${accountId}.${expiry}`, options.secret));
  return right && Number(expiry) > options.nowMs ? { accountId } : "invalid";
}

/** In a time that does not depend on where they differ. */
export function equal(left: string, right: string): boolean {
  const digest = (text: string) => createHmac("sha256", "compare").update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}

function sign(payload: string, secret: string): string {
  return createHmac("sha256", secret).update(`login:${payload}`).digest("base64url");
}
