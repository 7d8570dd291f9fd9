import { AppError, isAppError, Login, Logout } from "@holdfast/protocol";
import { type Context, Hono } from "hono";
import type { AppContext } from "../context.ts";
import type { LoginStart } from "../domain/accounts/logins.ts";
import { cookieOptions } from "./auth.ts";
import { check, readJson } from "./body.ts";
import { loginCookie, noCookie, readLoginCookie } from "./cookie.ts";
import type { HttpEnv } from "./env.ts";

/** Logging a browser in: by a link that works once, or by the page with a key. */
export function loginRoutes(context: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  const { logins } = context;
  const start = async (c: Context<HttpEnv>, who: LoginStart) =>
    loginCookie(await logins.start(who), cookieOptions(c, context));
  const byLink = async (c: Context<HttpEnv>, token: string) => {
    await logins.takeLink(token);
    return await start(c, { accountId: context.defaultAccount.id });
  };
  app.get("/login", async (c, next) => {
    const token = new URL(c.req.url).searchParams.get("token");
    // Without a token it is the page's own path.
    if (token === null) return await next();
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
  app.post("/v1/login", async (c) => {
    const { value } = await readJson(c);
    const input = check(Login, value);
    if ("api_key" in input) {
      const found = await context.accounts.byKey(input.api_key.trim());
      if (found === undefined) throw new AppError("key_wrong");
      const { id, name, keyId } = found;
      return loggedIn({ id, name }, await start(c, { accountId: id, keyId }));
    }
    return loggedIn(context.defaultAccount, await byLink(c, input.token));
  });
  return app;
}

/** `/v1/logout`. */
export function logoutRoutes(context: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.post("/logout", async (c) => {
    const { value } = await readJson(c);
    const { everywhere } = check(Logout, value);
    const loginId = c.get("loginId");
    if (everywhere === true) await context.logins.endAll(c.get("account").id);
    else if (loginId !== undefined) await context.logins.end(loginId);
    return new Response(null, { status: 204, headers: { "set-cookie": noCookie(c.req.header("host") ?? "") } });
  });
  return app;
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
