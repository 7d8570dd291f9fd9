import { EnvironmentCreate, EnvironmentUpdate } from "@holdfast/protocol";
import { Hono } from "hono";
import type { AppContext } from "../context.ts";
import { defaultEnvironmentId } from "../domain/sessions/agent.ts";
import { check, readJson, refuseDefault, refuseUnknown } from "./agents-body.ts";
import type { HttpEnv } from "./env.ts";
import { integer } from "./query.ts";
import { identityOf } from "./sessions.ts";
import { flag, pageOf } from "./sessions-filters.ts";

const fields = ["name", "description", "config", "metadata", "scope", "holdfast"];

/** `/v1/environments` in Managed Agents' shape. */
export function environmentRoutes({ environments }: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.post("/", async (c) => {
    const { hash, value } = await readJson(c);
    refuseUnknown(value, fields);
    const input = check(EnvironmentCreate, value);
    return c.json(await environments.create(c.get("account").id, input, identityOf(c, hash)));
  });
  app.get("/", async (c) => {
    const query = new URL(c.req.url).searchParams;
    const options = {
      limit: integer(query, "limit", { min: 1, max: 100, fallback: 20 }),
      includeArchived: flag(query, "include_archived"),
      ...pageOf(query),
    };
    return c.json(await environments.list(c.get("account").id, options));
  });
  app.get("/:id", async (c) => c.json(await environments.get(c.get("account").id, c.req.param("id"))));
  app.post("/:id", async (c) => {
    const { value } = await readJson(c);
    refuseDefault(c.req.param("id"), defaultEnvironmentId);
    refuseUnknown(value, fields);
    const change = check(EnvironmentUpdate, value);
    return c.json(await environments.update(c.get("account").id, c.req.param("id"), change));
  });
  app.delete("/:id", async (c) => {
    refuseDefault(c.req.param("id"), defaultEnvironmentId);
    return c.json(await environments.delete(c.get("account").id, c.req.param("id")));
  });
  app.post("/:id/archive", async (c) => {
    refuseDefault(c.req.param("id"), defaultEnvironmentId);
    return c.json(await environments.archive(c.get("account").id, c.req.param("id")));
  });
  return app;
}
