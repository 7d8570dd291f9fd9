import { AppError, newId } from "@holdfast/protocol";
import { Hono } from "hono";
import type { AppContext } from "../context.ts";
import { accountRoutes, keyRoutes } from "./accounts.ts";
import { agentRoutes } from "./agents.ts";
import { authenticate, guardOrigin } from "./auth.ts";
import { docsRoutes } from "./docs.ts";
import type { HttpEnv } from "./env.ts";
import { environmentRoutes } from "./environments.ts";
import { eventRoutes } from "./events.ts";
import { loginRoutes, logoutRoutes } from "./login.ts";
import { messageRoutes } from "./messages.ts";
import { multiStreamRoutes } from "./multi-stream.ts";
import { errorResponse, toAppError } from "./problem.ts";
import { rawRoutes } from "./raw.ts";
import { findRoute, guardTarget, refuseStrange } from "./route-guard.ts";
import { sandboxRoutes, sweepRoutes } from "./sandboxes.ts";
import { sessionRoutes } from "./sessions.ts";
import { staticFiles } from "./static.ts";
import { healthRoutes, statusRoutes } from "./system.ts";
import { workspaceRoutes } from "./workspaces.ts";

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
  app.onError((error, c) => {
    const requestId = c.get("requestId");
    return errorResponse(c, toAppError(error, { logger: context.logger, requestId }));
  });
  app.use(guardTarget());
  app.use(guardOrigin(context));
  app.use(findRoute());
  app.use(refuseStrange({ withKey: false }));
  app.route("/", healthRoutes(context));
  app.route("/", loginRoutes(context));
  app.route("/", docsRoutes(context));
  app.use("/v1/*", authenticate(context));
  app.use(refuseStrange({ withKey: true }));
  app.route("/v1/sessions", sessionRoutes(context));
  app.route("/v1/sessions", eventRoutes(context));
  app.route("/v1/sessions", rawRoutes(context));
  app.route("/v1/sessions", messageRoutes(context));
  app.route("/v1/events", multiStreamRoutes(context));
  app.route("/v1/agents", agentRoutes(context));
  app.route("/v1/environments", environmentRoutes(context));
  app.route("/v1/accounts", accountRoutes(context));
  app.route("/v1/api_keys", keyRoutes(context));
  app.route("/v1/workspaces", workspaceRoutes(context));
  app.route("/v1/sandboxes", sandboxRoutes(context));
  app.route("/v1/sweep", sweepRoutes(context));
  app.route("/v1", statusRoutes(context));
  app.route("/v1", logoutRoutes(context));
  app.all("/v1/*", () => {
    throw new AppError("route_not_found");
  });
  app.get("*", staticFiles(context));
  app.notFound((c) => errorResponse(c, new AppError("route_not_found")));
  return app;
}
