import { AppError, newId } from "@holdfast/protocol";
import type { HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import type { AppContext } from "../context.ts";
import { accountRoutes, apiKeyRoutes } from "./accounts.ts";
import { agentRoutes } from "./agents.ts";
import { guardOrigin } from "./auth.ts";
import { backgroundRoutes } from "./background.ts";
import { claudeStateRoutes } from "./claude-state.ts";
import { docsRoutes } from "./docs.ts";
import type { HttpEnv } from "./env.ts";
import { environmentRoutes } from "./environments.ts";
import { eventRoutes } from "./events.ts";
import { loginRoutes } from "./login.ts";
import { messageRoutes } from "./messages.ts";
import { guardTarget, mount } from "./mount.ts";
import { multiStreamRoutes } from "./multi-stream.ts";
import { errorResponse, toAppError } from "./problem.ts";
import { rawRoutes } from "./raw.ts";
import { isWhole } from "./refused-body.ts";
import { sandboxRoutes } from "./sandboxes.ts";
import { sessionRoutes } from "./sessions.ts";
import { staticFiles } from "./static.ts";
import { healthRoutes, statusRoutes } from "./system.ts";
import { terminalRoutes } from "./terminals.ts";
import { guardUpgrade } from "./upgrade.ts";
import { permissionRuleRoutes, workspaceRoutes } from "./workspaces.ts";

const securityHeaders = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
};

export function createApp(context: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.use(async (c, next) => {
    c.set("requestId", newId("request"));
    await next();
    c.res.headers.set("request-id", c.get("requestId"));
    for (const [name, value] of Object.entries(securityHeaders)) c.res.headers.set(name, value);
  });
  app.onError(async (error, c) => {
    const requestId = c.get("requestId");
    const answer = errorResponse(c, toAppError(error, { logger: context.logger, requestId }));
    const whole = await isWhole((c.env as Partial<HttpBindings> | undefined)?.incoming);
    if (!whole) answer.headers.set("connection", "close");
    return answer;
  });
  app.use(guardUpgrade());
  app.use(guardTarget());
  app.use(guardOrigin(context));
  const page = staticFiles(context);
  mount(app, context, [
    ...agentRoutes(context),
    ...environmentRoutes(context),
    ...sessionRoutes(context),
    ...eventRoutes(context),
    ...messageRoutes(context),
    ...backgroundRoutes(context),
    ...claudeStateRoutes(context),
    ...multiStreamRoutes(context),
    ...rawRoutes(context),
    ...accountRoutes(context),
    ...apiKeyRoutes(context),
    ...workspaceRoutes(context),
    ...permissionRuleRoutes(context),
    ...terminalRoutes(context),
    ...sandboxRoutes(context),
    ...statusRoutes(context),
    ...loginRoutes(context, page),
    ...healthRoutes(context),
    ...docsRoutes(context),
  ]);
  app.get("*", page);
  app.notFound((c) => errorResponse(c, new AppError("route_not_found")));
  return app;
}
