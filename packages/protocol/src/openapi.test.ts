import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type ProblemCode, problems } from "./problem.ts";
import type { Route } from "./routes/route.ts";
import { routes } from "./routes.ts";

interface Schema {
  $ref?: string;
  type?: string | string[];
  default?: unknown;
  minimum?: number;
  maximum?: number;
  enum?: unknown[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  [word: string]: unknown;
}

interface Operation {
  operationId: string;
  tags: string[];
  summary: string;
  description?: string;
  security: Record<string, string[]>[];
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema: Schema }[];
  requestBody?: { required: boolean; content: Record<string, { schema: Schema }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: Schema }> }>;
}

interface Document {
  openapi: string;
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; securitySchemes: Record<string, unknown> };
}

const text = readFileSync(join(import.meta.dirname, "../../../openapi.json"), "utf8");
const document = JSON.parse(text) as Document;
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, operation })),
);
const nameOf = ({ method, path }: Route) => `${method} ${path}`;

describe("the description", () => {
  test("has every route of the table, and nothing more", () => {
    expect(operations.map(({ name }) => name).sort()).toEqual(routes.map(nameOf).sort());
  });

  test("gives each of them a name of its own", () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^(get|post|put|delete)(_[A-Za-z_]+)+$/);
  });

  test("is OpenAPI 3.1 and names its tags", () => {
    expect(document.openapi).toBe("3.1.0");
    expect(document.tags.map(({ name }) => name)).toEqual(["Managed Agents", "Holdfast", "System"]);
  });

  test("refers only to schemas that it has, and has none that nothing refers to", () => {
    const referred = new Set([...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name));
    expect([...referred].sort()).toEqual(Object.keys(document.components.schemas).sort());
  });

  test("has every code of a problem in both shapes of an error", () => {
    const { Problem, AnthropicError } = document.components.schemas;
    const codes = Object.keys(problems);
    expect(Problem?.properties?.code?.enum).toEqual(codes);
    expect(AnthropicError?.properties?.holdfast?.properties?.code?.enum).toEqual(codes);
  });

  test("names what stands in a schema's `required` among its properties", () => {
    for (const [name, { properties, required = [] }] of Object.entries(document.components.schemas))
      expect(
        required.filter((field) => !Object.hasOwn(properties ?? {}, field)),
        name,
      ).toEqual([]);
  });

  test.each(["Account", "Agent", "Environment", "Session", "Workspace", "Sandbox", "Terminal", "Message", "ApiKey"])(
    "always has the id of %s",
    (name) => {
      expect(document.components.schemas[name]?.required).toContain("id");
    },
  );
});

/** What the table's forms of a parameter are in a schema. */
const typesOf: Record<string, string> = {
  integer: "integer",
  flag: "boolean",
  list: "array",
  text: "string",
  word: "string",
};

describe.each(routes.map((route) => ({ name: nameOf(route), route })))("$name", ({ name, route }) => {
  const operation = operations.find((each) => each.name === name)?.operation as Operation;
  const parametersIn = (place: string) => (operation.parameters ?? []).filter((each) => each.in === place);
  const { query = {}, ok, problems: own = [] } = route;

  test("has the table's words", () => {
    const { summary, description, tags } = operation;
    expect({ summary, description, tags }).toEqual({
      summary: route.summary,
      description: route.description,
      tags: [route.tag],
    });
  });

  test("has the path's parameters, each needed", () => {
    const inPath = parametersIn("path");
    expect(inPath.map((each) => `{${each.name}}`)).toEqual(route.path.match(/\{\w+\}/g) ?? []);
    for (const each of inPath) expect(each).toMatchObject({ required: true, schema: { type: "string" } });
  });

  test("has the query's parameters, described and typed", () => {
    const inQuery = parametersIn("query");
    expect(inQuery.map((each) => each.name)).toEqual(Object.keys(query));
    for (const each of inQuery) {
      const parameter = query[each.name];
      expect(each.description).toBe(parameter?.description);
      expect(each.schema.type, each.name).toBe(typesOf[parameter?.form ?? ""]);
    }
  });

  test("says a parameter's default and bounds as the table keeps them", () => {
    for (const { name: parameter, schema } of parametersIn("query")) {
      const check = query[parameter]?.schema;
      const isTaken = (value: unknown) => check?.safeParse(value).success;
      expect(check?.safeParse(undefined).data, parameter).toEqual(schema.default);
      const { minimum, maximum } = schema;
      if (minimum !== undefined) expect([isTaken(minimum), isTaken(minimum - 1)], parameter).toEqual([true, false]);
      if (maximum !== undefined) expect([isTaken(maximum), isTaken(maximum + 1)], parameter).toEqual([true, false]);
      for (const word of schema.enum ?? []) expect(isTaken(word), `${parameter}=${String(word)}`).toBe(true);
      for (const word of schema.items?.enum ?? []) expect(isTaken([word]), `${parameter}=${String(word)}`).toBe(true);
      if (schema.type === "integer") expect(minimum, parameter).toBeGreaterThanOrEqual(0);
    }
  });

  test("takes a body where the table does", () => {
    expect(operation.requestBody !== undefined).toBe(route.body !== undefined);
    if (operation.requestBody === undefined) return;
    expect(operation.requestBody.required).toBe(true);
    expect(Object.keys(operation.requestBody.content)).toEqual(["application/json"]);
  });

  test("asks for a key where the table does", () => {
    expect(operation.security.length === 0).toBe(route.auth === "none");
    const known = Object.keys(document.components.securitySchemes);
    for (const way of operation.security) expect(known).toEqual(expect.arrayContaining(Object.keys(way)));
  });

  test("answers with the table's status and form, and otherwise refuses", () => {
    const statuses = Object.keys(operation.responses).map(Number);
    expect(statuses.filter((status) => status < 400)).toEqual([ok.status]);
    const { description, content = {} } = operation.responses[ok.status] as Operation["responses"][string];
    expect(description).toBe(ok.description);
    const isEmpty = ok.schema === undefined && ok.type === undefined;
    expect(Object.keys(content)).toEqual(isEmpty ? [] : [ok.type ?? "application/json"]);
  });

  test("says each of its problems at the problem's status", () => {
    for (const code of own) {
      const { description } = operation.responses[problems[code].status] as Operation["responses"][string];
      expect(description).toContain(`\`${code}\`: ${problems[code].title}`);
    }
  });

  test("says no problem at another status", () => {
    for (const [status, { description }] of Object.entries(operation.responses)) {
      if (Number(status) < 400) continue;
      const codes = [...description.matchAll(/^`(\w+)`:/gm)].map(([, code]) => code as ProblemCode);
      expect(codes.length).toBeGreaterThan(0);
      for (const code of codes) expect(problems[code].status, code).toBe(Number(status));
    }
  });

  test("may be refused for its host, its origin and our faults, and for its key where it has one", () => {
    const said = Object.values(operation.responses)
      .map(({ description }) => description)
      .join("\n");
    const all = ["host_refused", "origin_refused", "internal"];
    const keyed = route.auth === "none" ? [] : ["key_missing", "key_wrong", "database_unavailable"];
    const admin = route.auth === "admin" ? ["admin_only"] : [];
    const read = route.body === undefined ? [] : ["request_malformed", "request_invalid", "body_too_large"];
    for (const code of [...all, ...keyed, ...admin, ...read]) expect(said).toContain(`\`${code}\``);
    if (route.auth !== "admin") expect(said).not.toContain("`admin_only`");
  });

  test("refuses in the shape that its clients know", () => {
    const isOfficial = /^\/v1\/(agents|environments|sessions)(\/|$)/.test(route.path);
    for (const [status, { content = {} }] of Object.entries(operation.responses)) {
      if (Number(status) < 400) continue;
      expect(Object.keys(content)).toEqual([isOfficial ? "application/json" : "application/problem+json"]);
      expect(JSON.stringify(content)).toContain(isOfficial ? "schemas/AnthropicError" : "schemas/Problem");
    }
  });
});
