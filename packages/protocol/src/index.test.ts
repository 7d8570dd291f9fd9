import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { shapes } from "../test/_examples.ts";
import * as door from "./index.ts";

const everything: Record<string, unknown> = door;
const exported = Object.entries(everything).filter(
  (entry): entry is [string, z.ZodType] => entry[1] instanceof z.ZodType,
);
const covered = new Set(shapes.map(({ schema }) => schema));

/** Members of one of those: they are looked at as such. */
const members = new Set<z.ZodType>([...door.SessionEvent.options, ...door.DraftFrame.options]);

test("every schema that others use is looked at field by field", () => {
  const objects = exported.filter(([, schema]) => !members.has(schema) && !covered.has(schema)).map(([name]) => name);
  // Words and bags, which have no fields, and whose own tests have their values.
  expect(objects.sort()).toEqual([
    "MessageDelivery",
    "Metadata",
    "MetadataPatch",
    "PermissionMode",
    "PlanMode",
    "SessionStatus",
    "StopReason",
    "WorkspaceName",
  ]);
});

test("each of them is looked at under a name of its own", () => {
  const names = shapes.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

test("a schema has one name at the door", () => {
  const schemas = exported.map(([, schema]) => schema);
  expect(new Set(schemas).size).toBe(schemas.length);
});

test("every schema can be described to other languages", () => {
  for (const [name, schema] of exported) {
    for (const io of ["input", "output"] as const) {
      const described = z.toJSONSchema(schema, { io, unrepresentable: "throw" });
      expect(Object.keys(described).length, name).toBeGreaterThan(1);
    }
  }
});

test("what a schema is called in the description is what it is called in the code", () => {
  const called = exported.flatMap(([name, schema]) => {
    const id = z.globalRegistry.get(schema)?.id;
    return id === undefined || id === name ? [] : [`${name} is ${id}`];
  });
  expect(called).toEqual([]);
});

test("the package stands on std and zod alone", () => {
  const files = readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" });
  const sources = files.filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"));
  const imported = sources.flatMap((file) => {
    const text = readFileSync(join(import.meta.dirname, file), "utf8");
    return [...text.matchAll(/^(?:import|export) .*?from "([^"]+)"|^\} from "([^"]+)"/gm)].map(
      ([, a, b]) => a ?? b ?? "",
    );
  });
  const outside = new Set(imported.filter((name) => !name.startsWith(".")));
  expect([...outside].sort()).toEqual(["@holdfast/std", "zod"]);
});
