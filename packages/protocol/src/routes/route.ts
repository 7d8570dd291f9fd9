import type { JsonBounds } from "@holdfast/std";
import type { z } from "zod";
import { smallBody } from "../limits.ts";
import type { ProblemCode } from "../problem.ts";
import type { Parameter } from "./parameters.ts";

/** One entry of the table: from it come the mounted route, its checks, the API's description and its page. */
export interface Route {
  method: "get" | "post" | "put" | "delete";
  /** Parameters stand in braces: `{id}`. */
  path: `/${string}`;
  tag: "Managed Agents" | "Holdfast" | "System";
  summary: string;
  description?: string;
  /** `none`: anybody who reaches the port. `admin`: keys and logins of the account `default`. */
  auth: "none" | "account" | "admin";
  /** Every parameter that means something; others are refused. `name[…]` is one of its own. */
  query?: Readonly<Record<string, Parameter>>;
  body?: z.ZodType;
  /** How much of a body is read at all; `smallBody` unless given. */
  bounds?: JsonBounds;
  ok: {
    status: number;
    description: string;
    schema?: z.ZodType;
    /** Default: application/json. Of a `text/event-stream` the schema is that of one frame's `data`. */
    type?: "text/event-stream" | "text/html" | "application/x-ndjson";
  };
  /** Beside those that every route, every authenticated one, and every one with a body has. */
  problems?: readonly ProblemCode[];
}

/** Keeps the entry's own type, from which its handler's is made. */
export function define<const R extends Route>(route: R): R {
  return route;
}

/** What is read of a request's body, whether the route takes one or not. */
export function boundsOf({ bounds = smallBody }: Pick<Route, "bounds">): JsonBounds {
  return bounds;
}

type NamesIn<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}` ? Name | NamesIn<Rest> : never;

/** The parameters of a route's path, as they were sent. */
export type ParamsOf<R extends Route> = Record<NamesIn<R["path"]>, string>;

/** Lists and those with a default are always there, the others when they were sent. */
export type QueryOf<R extends Route> =
  R["query"] extends Readonly<Record<string, Parameter>>
    ? {
        [K in keyof R["query"] as R["query"][K] extends Always ? K : never]: z.output<R["query"][K]["schema"]>;
      } & {
        [K in keyof R["query"] as R["query"][K] extends Always ? never : K]?: z.output<R["query"][K]["schema"]>;
      }
    : Record<never, never>;

type Always = { form: "list" } | { schema: z.ZodDefault };

/** Of a route that takes a body. */
export type BodyOf<R extends Route> = R["body"] extends z.ZodType ? z.output<R["body"]> : undefined;

/** What a route answers with, before it becomes JSON. */
export type ResultOf<R extends Route> = R["ok"]["schema"] extends z.ZodType ? z.input<R["ok"]["schema"]> : undefined;
