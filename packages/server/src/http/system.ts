import { AppError, Credential, type Status } from "@holdfast/protocol";
import { type Context, Hono } from "hono";
import type { AppContext } from "../context.ts";
import { isAdmin } from "./accounts.ts";
import { check, readJson } from "./body.ts";
import type { HttpEnv } from "./env.ts";

/** `/v1/status` and `/v1/credential`: ours, for the page and the CLI. */
export function statusRoutes(context: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  const status = async (c: Context<HttpEnv>): Promise<Status> => {
    const account = c.get("account");
    const { image, storage } = context.state();
    const { mode, credential } = await context.gateway.status(c.req.raw.signal);
    return { account, version: context.version, model: { mode, credential }, storage: storage(account.id), image };
  };
  app.get("/status", async (c) => c.json(await status(c)));
  app.put("/credential", async (c) => {
    const { value } = await readJson(c);
    const { api_key: key } = check(Credential, value);
    ownerOnly(c, context);
    if (!/^sk-ant-[\x21-\x7e]{8,}$/.test(key.trim())) throw new AppError("credential_invalid");
    await context.gateway.setCredential(key.trim(), c.req.raw.signal);
    return c.json(await status(c));
  });
  app.delete("/credential", async (c) => {
    ownerOnly(c, context);
    await context.gateway.removeCredential(c.req.raw.signal);
    return c.json(await status(c));
  });
  return app;
}

/** The model's key belongs to the whole installation: only the account of its own browser may change it. */
function ownerOnly(c: Context<HttpEnv>, context: AppContext): void {
  if (!isAdmin(c, context)) {
    throw new AppError("admin_only", { detail: "The model's key is shared by all accounts" });
  }
}

/** For whoever watches the process. */
export function healthRoutes(context: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.get("/health", (c) => c.json({ status: "ok", unhandled_rejections: context.faults() }));
  app.get("/version", (c) => c.json({ version: context.version }));
  app.get("/ready", async (c) => {
    const missing = await context.missing();
    if (missing.length === 0) return c.json({ status: "ready" });
    throw new AppError("not_ready", {
      detail: missing.map(({ reason }) => reason).join(". "),
      errors: missing.map(({ part, reason }) => ({ path: part, message: reason })),
    });
  });
  return app;
}
