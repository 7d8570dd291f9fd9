import { createHmac } from "node:crypto";
import type { OpenLogin } from "../domain/accounts/logins.ts";
import { sameText } from "../domain/same-text.ts";

/**
 * Cookies know no ports: with the port in its name, two instances on one host leave each other's alone. It is the port
 * that the browser asks for, the same for all servers behind one load balancer.
 */
function nameOf(host: string): string {
  const port = /:(\d+)$/.exec(host)?.[1];
  return port === undefined ? "holdfast_login" : `holdfast_login_${port}`;
}

export interface CookieOptions {
  secret: string;
  /** The request's `Host`. */
  host: string;
  nowMs: number;
}

/** The whole `set-cookie` line. The value is `loginId.expiryMs.signature`. */
export function loginCookie({ id, expiresAt }: OpenLogin, { secret, host, nowMs }: CookieOptions): string {
  const payload = `${id}.${expiresAt}`;
  const age = Math.round((expiresAt - nowMs) / 1000);
  return `${nameOf(host)}=${payload}.${sign(payload, secret)}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${age}`;
}

/** The `set-cookie` line that makes a browser forget it. */
export const noCookie = (host: string): string => `${nameOf(host)}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0`;

/** The login of a `cookie` header; undefined when there is none of ours, `invalid` when it is forged or too old. */
export function readLoginCookie(header: string | undefined, options: CookieOptions): string | "invalid" | undefined {
  const begin = `${nameOf(options.host)}=`;
  const entry = header
    ?.split(";")
    .map((part) => part.trim())
    .find((part) => part.startsWith(begin));
  if (entry === undefined) return undefined;
  const [id, expiry, signature, ...rest] = entry.slice(begin.length).split(".");
  if (id === undefined || expiry === undefined || signature === undefined || rest.length > 0) return "invalid";
  if (!sameText(signature, sign(`${id}.${expiry}`, options.secret))) return "invalid";
  return Number(expiry) > options.nowMs ? id : "invalid";
}

function sign(payload: string, secret: string): string {
  return createHmac("sha256", secret).update(`login:${payload}`).digest("base64url");
}
