import { AppError, newId } from "@holdfast/protocol";
import { Hono } from "hono";
import type { AppContext } from "../context.ts";
import { accountRoutes, keyRoutes } from "./accounts.ts";
import { authenticate, guardOrigin } from "./auth.ts";
import type { HttpEnv } from "./env.ts";
import { eventRoutes } from "./events.ts";
import { errorResponse, toAppError } from "./problem.ts";
import { sandboxRoutes } from "./sandboxes.ts";
import { sessionRoutes } from "./sessions.ts";
import { staticFiles } from "./static.ts";
import { healthRoutes, loginRoutes, statusRoutes } from "./system.ts";
import { workspaceRoutes } from "./workspaces.ts";

/** Every path of the API with its methods. */
export const routeTable: readonly { path: string; methods: readonly string[] }[] = [
  { path: "/v1/sessions", methods: ["GET", "POST"] },
  { path: "/v1/sessions/{id}", methods: ["GET"] },
  { path: "/v1/sessions/{id}/events", methods: ["GET", "POST"] },
  { path: "/v1/sessions/{id}/events/stream", methods: ["GET"] },
  { path: "/v1/sessions/{id}/stream", methods: ["GET"] },
  { path: "/v1/accounts", methods: ["GET", "POST"] },
  { path: "/v1/api_keys", methods: ["GET", "POST"] },
  { path: "/v1/api_keys/{id}", methods: ["DELETE"] },
  { path: "/v1/workspaces", methods: ["GET", "POST"] },
  { path: "/v1/workspaces/{id}", methods: ["GET", "POST", "DELETE"] },
  { path: "/v1/sandboxes", methods: ["GET"] },
  { path: "/v1/sandboxes/{id}", methods: ["GET"] },
  { path: "/v1/sandboxes/{id}/stop", methods: ["POST"] },
  { path: "/v1/sandboxes/{id}/exec", methods: ["POST"] },
  { path: "/v1/status", methods: ["GET"] },
  { path: "/v1/credential", methods: ["PUT", "DELETE"] },
  { path: "/v1/login", methods: ["POST"] },
  { path: "/login", methods: ["GET"] },
  { path: "/health", methods: ["GET"] },
  { path: "/ready", methods: ["GET"] },
  { path: "/version", methods: ["GET"] },
  { path: "/docs", methods: ["GET"] },
];

const matchers = routeTable.map(({ path, methods }) => ({
  pattern: new RegExp(`^${path.replace(/\{id\}/g, "[^/]+")}$`),
  methods,
}));

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
  app.use(guardOrigin(context));
  app.use(async (c, next) => {
    const route = matchers.find(({ pattern }) => pattern.test(c.req.path));
    const method = c.req.method === "HEAD" ? "GET" : c.req.method;
    if (route !== undefined && !route.methods.includes(method)) throw new AppError("method_not_allowed");
    await next();
  });
  app.route("/", healthRoutes(context));
  app.route("/", loginRoutes(context));
  app.get("/docs", (c) => c.text(routeTable.map(({ path, methods }) => `${methods.join(", ")} ${path}\n`).join("")));
  app.use("/v1/*", authenticate(context));
  app.route("/v1/sessions", sessionRoutes(context));
  app.route("/v1/sessions", eventRoutes(context));
  app.route("/v1/accounts", accountRoutes(context));
  app.route("/v1/api_keys", keyRoutes(context));
  app.route("/v1/workspaces", workspaceRoutes(context));
  app.route("/v1/sandboxes", sandboxRoutes(context));
  app.route("/v1", statusRoutes(context));
  app.all("/v1/*", () => {
    throw new AppError("route_not_found");
  });
  app.get("*", staticFiles(context));
  app.notFound((c) => errorResponse(c, new AppError("route_not_found")));
  return app;
}
