import { AccountCreate, ApiKeyCreate, AppError } from "@holdfast/protocol";
import { type Context, Hono } from "hono";
import type { AppContext } from "../context.ts";
import { check, readJson } from "./body.ts";
import type { HttpEnv } from "./env.ts";
import { paging } from "./paging.ts";

/** The account `default` administers the installation. */
export function isAdmin(c: Context<HttpEnv>, { defaultAccount }: AppContext): boolean {
  return c.get("account").id === defaultAccount.id;
}

/** `/v1/accounts`. */
export function accountRoutes(context: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.get("/", async (c) => {
    const only = isAdmin(c, context) ? undefined : c.get("account").id;
    return c.json(await context.accounts.page(paging(c.req.url), only));
  });
  app.post("/", async (c) => {
    const { value } = await readJson(c);
    if (!isAdmin(c, context)) throw new AppError("admin_only");
    const { name } = check(AccountCreate, value);
    return c.json(await context.accounts.create(name), 201);
  });
  app.delete("/:id", async (c) => {
    if (!isAdmin(c, context)) throw new AppError("admin_only");
    // Not the client's signal: once begun it is done, whether the client waits or not.
    return c.json(await context.accountRemoval.delete(c.req.param("id"), context.closing));
  });
  return app;
}

/** `/v1/api_keys`: the keys of the account that asks. */
export function keyRoutes({ keys }: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.get("/", async (c) => c.json(await keys.list(c.get("account").id, paging(c.req.url))));
  app.post("/", async (c) => {
    const { value } = await readJson(c);
    const { name } = check(ApiKeyCreate, value);
    return c.json(await keys.create(c.get("account").id, name), 201);
  });
  app.delete("/:id", async (c) => c.json(await keys.revoke(c.get("account").id, c.req.param("id"))));
  return app;
}
