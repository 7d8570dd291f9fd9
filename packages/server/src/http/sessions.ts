import { SessionCreate } from "@holdfast/protocol";
import { type Context, Hono } from "hono";
import type { AppContext } from "../context.ts";
import { hashBody, type RequestIdentity } from "../domain/sessions/idempotency.ts";
import { check, readJson, refuseUnknown } from "./body.ts";
import type { HttpEnv } from "./env.ts";
import { integer, order, refuseFilters } from "./query.ts";

const createFields = ["agent", "environment_id", "title", "metadata"];
const unsupportedFilters = ["agent_version", "created_at", "deployment_id", "memory_store_id", "statuses"];

/** `/v1/sessions` in Managed Agents' shape. */
export function sessionRoutes({ sessions }: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.post("/", async (c) => {
    const { bytes, value } = await readJson(c);
    refuseUnknown(value, createFields);
    const input = check(SessionCreate, value);
    return c.json(await sessions.create(c.get("account").id, input, identityOf(c, bytes)));
  });
  app.get("/", async (c) => {
    const query = new URL(c.req.url).searchParams;
    refuseFilters(query, unsupportedFilters);
    const page = query.get("page");
    const options = {
      limit: integer(query, "limit", { min: 1, max: 100, fallback: 20 }),
      order: order(query, "desc"),
      ...(page ? { page } : {}),
    };
    return c.json(await sessions.list(c.get("account").id, options));
  });
  app.get("/:id", async (c) => c.json(await sessions.get(c.get("account").id, c.req.param("id"))));
  return app;
}

/** What makes two requests the same one. */
export function identityOf(c: Context<HttpEnv>, body: Uint8Array): RequestIdentity {
  const key = c.req.header("idempotency-key")?.slice(0, 200);
  return {
    ...(key ? { key } : {}),
    retryCount: Number(c.req.header("x-stainless-retry-count") ?? 0) || 0,
    bodyHash: hashBody(body),
  };
}
