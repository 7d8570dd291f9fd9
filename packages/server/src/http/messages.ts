import { MessageUpdate } from "@holdfast/protocol";
import { type Context, Hono } from "hono";
import type { AppContext } from "../context.ts";
import { check, readJson } from "./body.ts";
import type { HttpEnv } from "./env.ts";

/** `/v1/sessions/{id}/messages`: what waits in a session. */
export function messageRoutes({ messages }: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  const target = (c: Context<HttpEnv, "/:id/messages/:message_id">) => ({
    accountId: c.get("account").id,
    sessionId: c.req.param("id"),
    messageId: c.req.param("message_id"),
  });
  app.get("/:id/messages", async (c) => c.json(await messages.list(c.get("account").id, c.req.param("id"))));
  app.post("/:id/messages/:message_id", async (c) => {
    const { value } = await readJson(c);
    return c.json(await messages.update(target(c), check(MessageUpdate, value)));
  });
  app.delete("/:id/messages/:message_id", async (c) => c.json(await messages.remove(target(c))));
  return app;
}
