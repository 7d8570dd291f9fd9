import { AppError, maxNamedErrors, type Route, routes } from "@holdfast/protocol";
import type { HttpBindings } from "@hono/node-server";
import type { MiddlewareHandler } from "hono";
import { readJson } from "./body.ts";
import type { HttpEnv } from "./env.ts";

const matchers = [...Map.groupBy(routes, ({ path }) => path)].map(([path, same]) => ({
  pattern: new RegExp(`^${path.replace(/\{\w+\}/g, "[^/]+")}$`),
  byMethod: new Map(same.map((route) => [route.method.toUpperCase(), route])),
}));

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

/** Notes which route of the table is asked for; one that takes other methods only is refused. */
export function findRoute(): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const matcher = matchers.find(({ pattern }) => pattern.test(c.req.path));
    const route = matcher?.byMethod.get(c.req.method === "HEAD" ? "GET" : c.req.method);
    if (matcher !== undefined && route === undefined) throw new AppError("method_not_allowed");
    c.set("route", route);
    await next();
  };
}

/**
 * Parameters and fields that the table does not know are refused by name. In two places: before the key is asked for
 * where none is needed, behind it everywhere else, so that strangers learn nothing.
 */
export function refuseStrange(where: { withKey: boolean }): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const route = c.get("route");
    if (route !== undefined && (route.auth !== "none") === where.withKey) {
      refuseParameters(route, new URL(c.req.url).searchParams);
      if (takesNoFields(route)) {
        const { value } = await readJson(c);
        refuseFields(Object.keys(value));
      }
    }
    await next();
  };
}

/** Official clients send nothing here, and what they may send one day is theirs. */
function takesNoFields({ tag, method, body }: Route): boolean {
  return tag === "Holdfast" && method !== "get" && body === undefined;
}

function refuseParameters({ tag, query = {} }: Route, sent: URLSearchParams): void {
  // The official SDK says `?beta=true` everywhere.
  const known = new Set([...Object.keys(query), ...(tag === "Managed Agents" ? ["beta"] : [])]);
  const strange = [...new Set(sent.keys())].filter((name) => !known.has(name) && !known.has(listName(name)));
  if (strange.length === 0) return;
  const names = strange.slice(0, maxNamedErrors).map((name) => name.slice(0, 100));
  if (tag === "Managed Agents") {
    const detail = `The filter ${names.join(", ")} is not supported`;
    throw new AppError("not_supported", {
      detail,
      errors: names.map((path) => ({ path, message: "is not supported" })),
    });
  }
  const errors = names.map((path) => ({ path, message: "is not a parameter of this route" }));
  throw new AppError("request_invalid", { detail: `Unknown parameters: ${names.join(", ")}`, errors });
}

/** `types[]` and `types[0]` are `types`. */
function listName(name: string): string {
  const at = name.indexOf("[");
  return at > 0 && /^\[\d*\]$/.test(name.slice(at)) ? name.slice(0, at) : name;
}

function refuseFields(names: readonly string[]): void {
  if (names.length === 0) return;
  const errors = names.slice(0, maxNamedErrors).map((name) => ({
    path: name.slice(0, 200),
    message: "is not a field of this request",
  }));
  throw new AppError("request_invalid", { detail: `This request takes no fields: ${errors.length} were sent`, errors });
}
