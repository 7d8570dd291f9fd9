import { expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { wrongAt } from "../../test/_kit.ts";
import { smallBody } from "../limits.ts";
import { deleted, listOf, ok } from "./answers.ts";
import { choices, flag, integer, limit, text } from "./parameters.ts";
import { type BodyOf, boundsOf, define, type ParamsOf, type QueryOf, type ResultOf, type Route } from "./route.ts";

const route = define({
  method: "post",
  path: "/v1/things/{id}/parts/{part_id}",
  tag: "Holdfast",
  summary: "Change a part",
  auth: "account",
  query: {
    limit: limit(10, 5),
    dry: flag("Only say what would happen"),
    kinds: choices(["a", "b"], "Only these"),
    after: integer({ min: 0 }, "From here"),
    note: text("Why"),
  },
  body: z.object({ size: z.number().default(1) }),
  ok: ok("The part", z.object({ at: z.string() })),
});

const plain = define({
  method: "get",
  path: "/v1/plain",
  tag: "System",
  summary: "Nothing",
  auth: "none",
  ok: { status: 204, description: "Nothing" },
});

test("a route keeps what it was made of", () => {
  expect(define(plain)).toBe(plain);
});

test("its handler gets the path's parameters by their names", () => {
  expectTypeOf<ParamsOf<typeof route>>().toEqualTypeOf<Record<"id" | "part_id", string>>();
  expectTypeOf<keyof ParamsOf<typeof plain>>().toEqualTypeOf<never>();
});

test("its handler always gets lists and what has a default, the rest when it was sent", () => {
  expectTypeOf<QueryOf<typeof route>["limit"]>().toEqualTypeOf<number>();
  expectTypeOf<QueryOf<typeof route>["dry"]>().toEqualTypeOf<boolean>();
  expectTypeOf<QueryOf<typeof route>["kinds"]>().toEqualTypeOf<("a" | "b")[]>();
  expectTypeOf<QueryOf<typeof route>["after"]>().toEqualTypeOf<number | undefined>();
  expectTypeOf<QueryOf<typeof route>["note"]>().toEqualTypeOf<string | undefined>();
  expectTypeOf<keyof QueryOf<typeof plain>>().toEqualTypeOf<never>();
});

test("its handler gets the body with its defaults, and answers with what becomes the answer", () => {
  expectTypeOf<BodyOf<typeof route>>().toEqualTypeOf<{ size: number }>();
  expectTypeOf<ResultOf<typeof route>>().toEqualTypeOf<{ at: string }>();
  expectTypeOf<BodyOf<typeof plain>>().toEqualTypeOf<undefined>();
  expectTypeOf<ResultOf<typeof plain>>().toEqualTypeOf<undefined>();
});

test("a body is small unless its route says more", () => {
  const entry: Route = route;
  expect(boundsOf(entry)).toBe(smallBody);
  const bounds = { bytes: 1, depth: 1, keys: 1, values: 1 };
  expect(boundsOf({ bounds })).toBe(bounds);
});

test("a page of a list has its entries, and a page behind it or none", () => {
  const schema = listOf(z.number());
  for (const page of [
    { data: [], next_page: null },
    { data: [1, 2], next_page: "p" },
  ])
    expect(schema.parse(page)).toEqual(page);
  expect(wrongAt(schema, { data: [1, "2"], next_page: null })).toEqual(["data.1"]);
  expect(wrongAt(schema, { data: [] })).toEqual(["next_page"]);
  expect(wrongAt(schema, { next_page: 5 })).toEqual(["data", "next_page"]);
});

test("what is deleted says what it was", () => {
  const schema = deleted("thing_deleted");
  expect(schema.parse({ id: "a", type: "thing_deleted" })).toEqual({ id: "a", type: "thing_deleted" });
  expect(wrongAt(schema, { id: "a", type: "deleted" })).toEqual(["type"]);
});
