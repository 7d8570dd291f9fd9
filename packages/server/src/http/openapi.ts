import { type ProblemCode, problems, type Route, routes } from "@holdfast/protocol";
import { z } from "zod";
import { isManagedAgentsPath } from "./problem.ts";

type Json = Record<string, unknown>;

const always: ProblemCode[] = ["host_refused", "origin_refused", "internal"];
/** Keys are looked up in the database. */
const withKey: ProblemCode[] = ["key_missing", "key_wrong", "database_unavailable"];
const withBody: ProblemCode[] = ["request_malformed", "request_invalid", "body_too_large", "disk_full"];

/** Everything that a route may be refused with, each once. */
export function problemsOf(route: Route): ProblemCode[] {
  const all: ProblemCode[] = [
    ...(route.body === undefined ? [] : withBody),
    ...(route.query === undefined ? [] : (["request_invalid"] as const)),
    ...(route.auth === "none" ? [] : withKey),
    ...(route.auth === "admin" ? (["admin_only"] as const) : []),
    ...(route.problems ?? []),
    ...always,
  ];
  return [...new Set(all)].sort((a, b) => problems[a].status - problems[b].status);
}

/** OpenAPI 3.1 of every route, made from the same schemas that check requests. */
export function openApiDocument(version: string): Json {
  const components = new Components();
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method]: operation(route, components) };
  }
  components.add("Problem", problemSchema);
  components.add("AnthropicError", anthropicErrorSchema);
  return {
    openapi: "3.1.0",
    info: {
      title: "Holdfast",
      version,
      description: "Claude Code for many accounts, each in sandboxes of its own, on workspaces that outlive them.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: [
      { name: "Managed Agents", description: "As the official Anthropic SDK speaks it; docs/managed-agents.md" },
      { name: "Holdfast", description: "Accounts, keys, workspaces, sandboxes" },
      { name: "System", description: "For whoever watches the process" },
    ],
    paths,
    components: {
      securitySchemes: {
        apiKey: { type: "apiKey", in: "header", name: "x-api-key" },
        bearer: { type: "http", scheme: "bearer" },
        cookie: { type: "apiKey", in: "cookie", name: "holdfast_login_4600" },
      },
      schemas: components.all(),
    },
  };
}

function operation(route: Route, components: Components): Json {
  const { path, method, summary, description, tag, query = {}, body, auth } = route;
  const parameters: Json[] = [
    ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
      name,
      in: "path",
      required: true,
      schema: { type: "string" },
    })),
    ...Object.entries(query).map(([name, parameter]) => ({
      name,
      in: "query",
      description: parameter.description,
      schema: components.schema(parameter.schema, "input"),
    })),
  ];
  return {
    operationId: operationId(method, path),
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security: auth === "none" ? [] : [{ apiKey: [] }, { bearer: [] }, { cookie: [] }],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { "application/json": { schema: components.schema(body, "input") } },
          },
        }),
    responses: { [route.ok.status]: success(route, components), ...refusals(route) },
  };
}

function success({ ok }: Route, components: Components): Json {
  const { description, schema, type = "application/json" } = ok;
  if (type === "text/html" || type === "application/x-ndjson")
    return { description, content: { [type]: { schema: { type: "string" } } } };
  if (schema === undefined) return { description };
  if (type === "text/event-stream") {
    // A stream is text; 3.1 has no words for its frames.
    const frame = components.schema(schema, "output");
    return { description, content: { [type]: { schema: { type: "string", "x-frame-data": frame } } } };
  }
  return { description, content: { [type]: { schema: components.schema(schema, "output") } } };
}

function refusals(route: Route): Record<string, Json> {
  const anthropic = isManagedAgentsPath(route.path);
  const type = anthropic ? "application/json" : "application/problem+json";
  const schema = { $ref: `#/components/schemas/${anthropic ? "AnthropicError" : "Problem"}` };
  const byStatus = Map.groupBy(problemsOf(route), (code) => problems[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      status,
      {
        description: codes.map((code) => `\`${code}\`: ${problems[code].title}`).join("\n"),
        content: { [type]: { schema } },
      },
    ]),
  );
}

function operationId(method: string, path: string): string {
  const words = path.split("/").map((part) => (part.startsWith("{") ? "one" : part.replace(/\W+/g, "_")));
  return [method, ...words.filter((word) => word !== "" && word !== "v1")].join("_");
}

/** Named schemas stand once; one that is read and written differently stands twice. */
class Components {
  readonly #schemas = new Map<string, Json>();

  add(name: string, schema: Json): void {
    this.#schemas.set(name, schema);
  }

  schema(schema: z.ZodType, io: "input" | "output"): Json {
    // As a property, so that a named schema becomes a reference like any other.
    const made = z.toJSONSchema(z.object({ it: schema }), { io, unrepresentable: "any" }) as unknown as {
      properties: { it: Json };
      $defs?: Record<string, Json>;
    };
    const names = new Map<string, string>();
    for (const [name, definition] of Object.entries(made.$defs ?? {})) {
      const { id: _id, ...plain } = definition;
      const known = this.#schemas.get(name);
      const clash = known !== undefined && JSON.stringify(known) !== JSON.stringify(relink(plain, new Map()));
      names.set(name, clash ? `${name}${io === "input" ? "Input" : "Output"}` : name);
    }
    for (const [name, definition] of Object.entries(made.$defs ?? {})) {
      const { id: _id, ...plain } = definition;
      this.#schemas.set(names.get(name) ?? name, relink(plain, names));
    }
    return relink(made.properties.it, names);
  }

  all(): Json {
    return Object.fromEntries([...this.#schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

function relink(schema: Json, names: ReadonlyMap<string, string>): Json {
  const text = JSON.stringify(schema, (key, value: unknown) => {
    if (key !== "$ref" || typeof value !== "string") return value;
    const name = value.replace("#/$defs/", "");
    return `#/components/schemas/${names.get(name) ?? name}`;
  });
  return JSON.parse(text) as Json;
}

const text = { type: "string" };
const errors = { type: "array", items: { type: "object", properties: { path: text, message: text } } };

const problemSchema: Json = {
  type: "object",
  description: "RFC 9457",
  required: ["type", "title", "status", "detail", "instance", "code", "remedy"],
  properties: {
    type: { ...text, description: "Where the problem is explained, relative to this server" },
    title: text,
    status: { type: "integer" },
    detail: text,
    instance: { ...text, description: "Carries the request id" },
    code: { type: "string", enum: Object.keys(problems) },
    remedy: { ...text, description: "What to do" },
    errors,
  },
};

const anthropicErrorSchema: Json = {
  type: "object",
  required: ["type", "error", "request_id", "holdfast"],
  properties: {
    type: { const: "error" },
    error: { type: "object", required: ["type", "message"], properties: { type: text, message: text } },
    request_id: text,
    holdfast: {
      type: "object",
      required: ["code", "remedy", "errors"],
      properties: { code: { type: "string", enum: Object.keys(problems) }, remedy: text, errors },
    },
  },
};
