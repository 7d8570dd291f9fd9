import { AppError } from "@holdfast/protocol";
import type { HttpBindings } from "@hono/node-server";
import type { Context, MiddlewareHandler } from "hono";
import type { AppContext } from "../context.ts";
import type { Account } from "../domain/accounts/accounts.ts";
import type { Hold } from "../domain/accounts/in-use.ts";
import { type CookieOptions, readLoginCookie } from "./cookie.ts";
import type { HttpEnv } from "./env.ts";

/**
 * Refuses requests for other host names (DNS rebinding) and from other origins (any web page can send requests to a
 * loopback port).
 */
export function guardOrigin(context: AppContext): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const host = c.req.header("host")?.toLowerCase();
    if (host === undefined || !isOurHost(host, context)) {
      throw new AppError("host_refused", { detail: `The host name "${host?.slice(0, 100) ?? ""}" is not served` });
    }
    const origin = c.req.header("origin")?.toLowerCase();
    if (origin !== undefined && !isOurOrigin(origin, context)) throw new AppError("origin_refused");
    await next();
  };
}

function isOurHost(host: string, { options, port }: AppContext): boolean {
  const ours = ["127.0.0.1", "localhost", "[::1]"].map((name) => `${name}:${port()}`);
  const withoutPort = host.replace(/:\d+$/, "");
  return [...ours, ...options.allowedHosts].some((allowed) => {
    const known = allowed.toLowerCase();
    return known === host || (!/:\d+$/.test(known) && known === withoutPort);
  });
}

function isOurOrigin(origin: string, context: AppContext): boolean {
  if (context.options.allowedOrigins.some((allowed) => allowed.toLowerCase().replace(/\/+$/, "") === origin))
    return true;
  const host = /^https?:\/\/([^/]+)$/.exec(origin)?.[1];
  return host !== undefined && isOurHost(host, context);
}

/** The account `default` administers the installation. */
export function isAdmin({ id }: Account, { defaultAccount }: AppContext): boolean {
  return id === defaultAccount.id;
}

/** Who asks: an API key, or a browser's login. */
export function authenticate(context: AppContext): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const { id, name, actor, loginId, holds } = await whoIs(c, context);
    c.set("account", { id, name });
    c.set("actor", actor);
    c.set("loginId", loginId);
    c.set("authEnds", AbortSignal.any(holds.map(({ signal }) => signal)));
    letGoAtEnd(c, holds);
    await next();
  };
}

/** With the answer's last byte: a stream goes on when its handler has returned. */
function letGoAtEnd(c: Context<HttpEnv>, holds: readonly Hold[]): void {
  const { outgoing } = c.env as HttpBindings;
  const letGo = () => {
    for (const hold of holds) hold[Symbol.dispose]();
  };
  // Whoever asked may have left while we looked who it is.
  if (outgoing.closed) letGo();
  else outgoing.once("close", letGo);
}

interface Asking extends Account {
  /** In words. */
  actor: string;
  /** Of a browser. */
  loginId?: string;
  /** The key that was shown, or the login and the key that it was made with. */
  holds: Hold[];
}

async function whoIs(c: Context<HttpEnv>, context: AppContext): Promise<Asking> {
  const { keys, logins } = context;
  const key = c.req.header("x-api-key") ?? /^Bearer +(.+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
  if (key !== undefined) {
    const account = await context.accounts.byKey(key.trim());
    if (account === undefined) throw new AppError("key_wrong");
    const { id, name, keyId, keyName } = account;
    return { id, name, actor: `the key "${keyName}"`, holds: [keys.hold(keyId)] };
  }
  const loginId = readLoginCookie(c.req.header("cookie"), cookieOptions(c, context));
  if (loginId === undefined) throw new AppError("key_missing");
  if (loginId === "invalid") throw new AppError("key_wrong");
  checkSameOrigin(c);
  const login = await logins.find(loginId);
  if (login === undefined) throw new AppError("key_wrong", { detail: "This browser is not logged in any more" });
  const { accountId: id, accountName: name, keyId } = login;
  const holds = [logins.hold(loginId), ...(keyId === undefined ? [] : [keys.hold(keyId)])];
  return { id, name, actor: "a browser", loginId, holds };
}

export const cookieOptions = (c: Context<HttpEnv>, { cookieSecret }: AppContext): CookieOptions => ({
  secret: cookieSecret,
  host: c.req.header("host") ?? "",
  nowMs: Date.now(),
});

/** A cookie is sent by the browser whoever asked for the request: it counts only when our own page did. */
function checkSameOrigin(c: Context<HttpEnv>): void {
  const site = c.req.header("sec-fetch-site");
  // "same-site" is another port of this host: not ours.
  if (site !== undefined && site !== "same-origin" && site !== "none") throw new AppError("origin_refused");
  // What becomes a WebSocket is no reading: no policy of the browser keeps a foreign page from using it.
  const reads = (c.req.method === "GET" && c.req.header("upgrade") === undefined) || c.req.method === "HEAD";
  if (!reads && site !== "same-origin" && c.req.header("origin") === undefined) {
    throw new AppError("origin_refused", { detail: "The request does not say which page it comes from" });
  }
}
