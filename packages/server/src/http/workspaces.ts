import { WorkspaceWrite } from "@holdfast/protocol";
import { Hono } from "hono";
import type { AppContext } from "../context.ts";
import { check, readJson } from "./body.ts";
import type { HttpEnv } from "./env.ts";
import { paging } from "./paging.ts";

/** `/v1/workspaces`: the durable file trees of the account that asks, and what is always allowed in them. */
export function workspaceRoutes({ workspaces, permissionRules, closing }: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.get("/", async (c) => c.json(await workspaces.list(c.get("account").id, paging(c.req.url))));
  app.post("/", async (c) => {
    const { value } = await readJson(c);
    const { name } = check(WorkspaceWrite, value);
    return c.json(await workspaces.create(c.get("account").id, name), 201);
  });
  app.get("/:id", async (c) => c.json(await workspaces.get(c.get("account").id, c.req.param("id"))));
  app.post("/:id", async (c) => {
    const { value } = await readJson(c);
    const { name } = check(WorkspaceWrite, value);
    return c.json(await workspaces.rename(c.get("account").id, c.req.param("id"), name));
  });
  app.delete("/:id", async (c) => {
    // Not the client's signal: once begun it is done, whether the client waits or not.
    return c.json(await workspaces.delete(c.get("account").id, c.req.param("id"), closing));
  });
  app.get("/:id/permission_rules", async (c) =>
    c.json(await permissionRules.list(c.get("account").id, c.req.param("id"), paging(c.req.url))),
  );
  app.delete("/:id/permission_rules/:rule_id", async (c) =>
    c.json(await permissionRules.delete(c.get("account").id, c.req.param("id"), c.req.param("rule_id"))),
  );
  return app;
}
