import { createHash } from "node:crypto";
import { AppError, SessionCreate, SessionStatus, SessionUpdate } from "@holdfast/protocol";
import { type Context, Hono } from "hono";
import type { AppContext } from "../context.ts";
import type { RequestIdentity } from "../domain/sessions/idempotency.ts";
import { check, readJson, refuseUnknown } from "./body.ts";
import type { HttpEnv } from "./env.ts";
import { integer, list, order } from "./query.ts";
import { createdAt, flag, pageOf } from "./sessions-filters.ts";

const createFields = ["agent", "environment_id", "title", "metadata", "initial_events"];

/** `/v1/sessions` in Managed Agents' shape. */
export function sessionRoutes({ sessions }: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.post("/", async (c) => {
    const { hash, value } = await readJson(c);
    refuseUnknown(value, createFields);
    const input = check(SessionCreate, value);
    return c.json(await sessions.create(c.get("account").id, input, identityOf(c, hash)));
  });
  app.get("/", async (c) => {
    const query = new URL(c.req.url).searchParams;
    const agentId = query.get("agent_id");
    const agentVersion = integer(query, "agent_version", { min: 0, max: 1_000_000_000, fallback: 0 });
    const options = {
      limit: integer(query, "limit", { min: 1, max: 100, fallback: 20 }),
      order: order(query, "desc"),
      created: createdAt(query),
      statuses: statuses(query),
      includeArchived: flag(query, "include_archived"),
      ...(agentId ? { agentId } : {}),
      ...(agentVersion === 0 ? {} : { agentVersion }),
      ...pageOf(query),
    };
    return c.json(await sessions.list(c.get("account").id, options));
  });
  app.get("/:id", async (c) => c.json(await sessions.get(c.get("account").id, c.req.param("id"))));
  app.post("/:id", async (c) => {
    const { value } = await readJson(c);
    refuseUnknown(value, ["title", "metadata"]);
    return c.json(await sessions.update(c.get("account").id, c.req.param("id"), check(SessionUpdate, value)));
  });
  app.delete("/:id", async (c) => c.json(await sessions.delete(c.get("account").id, c.req.param("id"))));
  app.post("/:id/archive", async (c) => c.json(await sessions.archive(c.get("account").id, c.req.param("id"))));
  return app;
}

function statuses(query: URLSearchParams): SessionStatus[] {
  return list(query, "statuses").map((text) => {
    const parsed = SessionStatus.safeParse(text);
    if (parsed.success) return parsed.data;
    const message = `must be one of ${SessionStatus.options.join(", ")}`;
    throw new AppError("request_invalid", { detail: `statuses: ${message}`, errors: [{ path: "statuses", message }] });
  });
}

const longKey = 200;
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** What makes two requests the same one. */
export function identityOf(c: Context<HttpEnv>, bodyHash: string): RequestIdentity {
  const given = c.req.header("idempotency-key");
  // A long one counts whole: two that only begin alike are two.
  const key = given !== undefined && given.length > longKey ? `sha256:${sha256(given)}` : given;
  return {
    ...(key ? { key } : {}),
    retryCount: Number(c.req.header("x-stainless-retry-count") ?? 0) || 0,
    bodyHash,
  };
}
