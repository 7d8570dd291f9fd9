import { AgentCreate, AgentUpdate } from "@holdfast/protocol";
import { Hono } from "hono";
import type { AppContext } from "../context.ts";
import { defaultAgentId, defaultAgentResource } from "../domain/sessions/agent.ts";
import { check, readJson, refuseDefault, refuseUnknown } from "./agents-body.ts";
import type { HttpEnv } from "./env.ts";
import { integer } from "./query.ts";
import { identityOf } from "./sessions.ts";
import { createdAt, flag, pageOf } from "./sessions-filters.ts";

const fields = ["name", "model", "description", "system", "tools", "execution_identity", "metadata"];
const limit = (query: URLSearchParams) => integer(query, "limit", { min: 1, max: 100, fallback: 20 });

/** `/v1/agents` in Managed Agents' shape. */
export function agentRoutes({ agents }: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.post("/", async (c) => {
    const { hash, value } = await readJson(c);
    refuseUnknown(value, fields);
    return c.json(await agents.create(c.get("account").id, check(AgentCreate, value), identityOf(c, hash)));
  });
  app.get("/", async (c) => {
    const query = new URL(c.req.url).searchParams;
    const { from, to } = createdAt(query);
    const options = {
      limit: limit(query),
      includeArchived: flag(query, "include_archived"),
      ...pageOf(query),
      ...(from === undefined ? {} : { createdFrom: from }),
      ...(to === undefined ? {} : { createdTo: to }),
    };
    return c.json(await agents.list(c.get("account").id, options));
  });
  app.get("/:id", async (c) => {
    const query = new URL(c.req.url).searchParams;
    const version = integer(query, "version", { min: 0, max: 1_000_000_000, fallback: 0 });
    if (c.req.param("id") === defaultAgentId && version <= 1) return c.json(defaultAgentResource);
    return c.json(await agents.get(c.get("account").id, c.req.param("id"), version === 0 ? undefined : version));
  });
  app.post("/:id", async (c) => {
    const { value } = await readJson(c);
    refuseDefault(c.req.param("id"), defaultAgentId);
    refuseUnknown(value, [...fields, "version"]);
    return c.json(await agents.update(c.get("account").id, c.req.param("id"), check(AgentUpdate, value)));
  });
  app.post("/:id/archive", async (c) => {
    refuseDefault(c.req.param("id"), defaultAgentId);
    return c.json(await agents.archive(c.get("account").id, c.req.param("id")));
  });
  app.get("/:id/versions", async (c) => {
    const query = new URL(c.req.url).searchParams;
    const options = { limit: limit(query), ...pageOf(query) };
    return c.json(await agents.versions(c.get("account").id, c.req.param("id"), options));
  });
  return app;
}
