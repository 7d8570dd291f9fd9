import { AppError, type Route, routes } from "@holdfast/protocol";
import type { HttpBindings } from "@hono/node-server";
import type { Hono, MiddlewareHandler } from "hono";
import type { AppContext } from "../context.ts";
import { authenticate, isAdmin } from "./auth.ts";
import type { HttpEnv } from "./env.ts";
import type { Implemented } from "./implement.ts";

/**
 * Refuses `GET http://other/ HTTP/1.1`: the name in it would stand beside the one in `Host`, and which of them counts is
 * anybody's guess. We are no proxy.
 */
export function guardTarget(): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const target = (c.env as Partial<HttpBindings> | undefined)?.incoming?.url;
    if (target !== undefined && !target.startsWith("/")) throw new AppError("target_refused");
    await next();
  };
}

/**
 * Mounts the table: every route with whoever may ask for it, its other methods as refused, and all that is not in it as
 * not found. Throws when a route has no handler, or two, or stands in no table.
 */
export function mount(app: Hono<HttpEnv>, context: AppContext, implemented: readonly Implemented[]): void {
  checkWhole(implemented.map(({ route }) => route));
  const account = authenticate(context);
  const who = {
    none: [],
    account: [account],
    admin: [account, adminOnly(context)],
  } satisfies Record<Route["auth"], MiddlewareHandler<HttpEnv>[]>;
  for (const { route, handle } of implemented)
    app.on(route.method.toUpperCase(), [patternOf(route)], ...who[route.auth], handle);
  for (const pattern of new Set(routes.map(patternOf))) {
    app.all(pattern, () => {
      throw new AppError("method_not_allowed");
    });
  }
  // Strangers learn nothing of what is there.
  app.all("/v1/*", account, () => {
    throw new AppError("route_not_found");
  });
}

const patternOf = ({ path }: Route) => path.replace(/\{(\w+)\}/g, ":$1");

function adminOnly(context: AppContext): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    if (!isAdmin(c.get("account"), context)) throw new AppError("admin_only");
    await next();
  };
}

/** The table and the handlers: each in the other, once. */
export function checkWhole(implemented: readonly Route[], table: readonly Route[] = routes): void {
  const name = ({ method, path }: Route) => `${method.toUpperCase()} ${path}`;
  const faults = [
    ...table.filter((route) => !implemented.includes(route)).map((route) => `${name(route)} has no handler`),
    ...implemented.filter((route) => !table.includes(route)).map((route) => `${name(route)} is not in the table`),
    ...twice(implemented.map(name)).map((each) => `${each} has two handlers`),
    ...twice(table.map(name)).map((each) => `${each} stands twice in the table`),
  ];
  if (faults.length > 0) throw new Error(`The routes are not whole: ${faults.join("; ")}`);
}

function twice(names: readonly string[]): string[] {
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
}
