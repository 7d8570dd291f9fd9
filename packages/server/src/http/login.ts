import { AppError, api, isAppError } from "@holdfast/protocol";
import type { Context } from "hono";
import type { AppContext } from "../context.ts";
import type { LoginStart } from "../domain/accounts/logins.ts";
import { cookieOptions } from "./auth.ts";
import { loginCookie, noCookie, readLoginCookie } from "./cookie.ts";
import type { HttpEnv } from "./env.ts";
import { type Implemented, implement } from "./implement.ts";

/** Logging a browser in: by a link that works once, or by the page with a key; and out. */
export function loginRoutes(context: AppContext, page: (c: Context<HttpEnv>) => Response): Implemented[] {
  const { logins } = context;
  const start = async (c: Context<HttpEnv>, who: LoginStart) =>
    loginCookie(await logins.start(who), cookieOptions(c, context));
  const byLink = async (c: Context<HttpEnv>, token: string) => {
    await logins.takeLink(token);
    return await start(c, { accountId: context.defaultAccount.id });
  };
  const link = implement(api.system.loginLink, async ({ query: { token }, c }) => {
    // Without a token it is the page's own path.
    if (token === undefined) return page(c);
    // A browser that only looks ahead, and a program that only looks whether it is there, must not use it up.
    if (c.req.method === "HEAD") return new Response(null, { status: 204 });
    if (/prefetch|prerender/i.test(c.req.header("sec-purpose") ?? "")) return new Response(null, { status: 503 });
    try {
      return redirect("/", await byLink(c, token));
    } catch (error) {
      if (!isAppError(error) || !(c.req.header("accept") ?? "").includes("text/html")) throw error;
      // Opened again, for instance out of the browser's history.
      return redirect((await isLoggedIn(c, context)) ? "/" : "/login?problem=link");
    }
  });
  const login = implement(api.logins.login, async ({ body, c }) => {
    if ("token" in body) return loggedIn(context.defaultAccount, await byLink(c, body.token));
    const found = await context.accounts.byKey(body.api_key.trim());
    if (found === undefined) throw new AppError("key_wrong");
    const { id, name, keyId } = found;
    return loggedIn({ id, name }, await start(c, { accountId: id, keyId }));
  });
  const logout = implement(api.logins.logout, async ({ account, body, c }) => {
    const loginId = c.get("loginId");
    if (body.everywhere === true) await logins.endAll(account.id);
    else if (loginId !== undefined) await logins.end(loginId);
    return new Response(null, { status: 204, headers: { "set-cookie": noCookie(c.req.header("host") ?? "") } });
  });
  return [link, login, logout];
}

async function isLoggedIn(c: Context<HttpEnv>, context: AppContext): Promise<boolean> {
  const id = readLoginCookie(c.req.header("cookie"), cookieOptions(c, context));
  return id !== undefined && id !== "invalid" && (await context.logins.find(id)) !== undefined;
}

function redirect(location: string, cookie?: string): Response {
  const headers = { location, "cache-control": "no-store" };
  return new Response(null, {
    status: 302,
    headers: cookie === undefined ? headers : { ...headers, "set-cookie": cookie },
  });
}

const loggedIn = ({ id, name }: { id: string; name: string }, cookie: string): Response =>
  Response.json({ account: { id, name } }, { headers: { "set-cookie": cookie } });
