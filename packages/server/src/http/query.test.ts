import type { AppError, Parameter, Route } from "@holdfast/protocol";
import { expect, test } from "vitest";
import { z } from "zod";
import { readQuery } from "./query.ts";

const description = "";
const query: Record<string, Parameter> = {
  limit: { form: "integer", schema: z.number().min(1, "must be 1 or more").default(20), description },
  after: { form: "integer", schema: z.number().int(), description },
  page: { form: "text", schema: z.string(), description },
  order: { form: "word", schema: z.enum(["asc", "desc"], { error: "must be asc or desc" }), description },
  archived: { form: "flag", schema: z.boolean("must be true or false").default(false), description },
  types: { form: "list", schema: z.array(z.string()), description },
};
const route = (tag: Route["tag"]): Route => ({
  method: "get",
  path: "/x",
  tag,
  summary: "",
  auth: "none",
  query,
  ok: { status: 200, description },
});

const read = (text: string, tag: Route["tag"] = "Holdfast") => readQuery(route(tag), new URLSearchParams(text));

function refusal(text: string, tag?: Route["tag"]) {
  try {
    read(text, tag);
  } catch (error) {
    const { code, errors } = error as AppError;
    return { code, errors: errors.map(({ path, message }) => `${path} ${message}`) };
  }
  throw new Error(`${text} was accepted`);
}

test("values come in their types; what was not sent is its default, an empty list, or absent", () => {
  expect(read("")).toEqual({ limit: 20, archived: false, types: [] });
  expect(read("limit=3&after=0&page=x&order=asc&archived=true")).toEqual({
    limit: 3,
    after: 0,
    page: "x",
    order: "asc",
    archived: true,
    types: [],
  });
  expect(read("limit=&page=&after=")).toEqual({ limit: 20, archived: false, types: [] });
});

test.each(["types=a&types=b", "types=a,b", "types[]=a&types[]=b", "types[0]=a&types[1]=b", "types[]=a&types[]=,b"])(
  "a list as clients write it: %s",
  (text) => expect(read(text)).toMatchObject({ types: ["a", "b"] }),
);

test.each([
  ["limit=0", "limit must be 1 or more"],
  ["limit=1&limit=2", "limit was sent more than once"],
  ["limit=1&limit=1", "limit was sent more than once"],
  ["page=&page=", "page was sent more than once"],
  ["order=", "order must be asc or desc"],
  ["archived=yes", "archived must be true or false"],
  ["archived=", "archived must be true or false"],
  ["limit[]=1", "limit[] is not a parameter of this route"],
  ["beta=true", "beta is not a parameter of this route"],
  ["types[x]=1", "types[x] is not a parameter of this route"],
  ["__proto__=1", "__proto__ is not a parameter of this route"],
  ["constructor[]=1", "constructor[] is not a parameter of this route"],
])("refused: %s", (text, error) => {
  expect(refusal(text)).toEqual({ code: "request_invalid", errors: [error] });
});

test.each(["1e3", "-1", "0x10", " 1", "1.5", "99999999999999999999", "NaN"])("%s is no whole number", (text) => {
  expect(refusal(`after=${encodeURIComponent(text)}`).errors).toHaveLength(1);
});

test("Managed Agents' routes take `beta` once, and name what they do not support", () => {
  expect(read("beta=true", "Managed Agents")).toMatchObject({ limit: 20 });
  expect(refusal("beta=true&beta=true", "Managed Agents").errors).toEqual(["beta was sent more than once"]);
  expect(refusal("deployment_id=x", "Managed Agents")).toEqual({
    code: "not_supported",
    errors: ["deployment_id is not supported"],
  });
});
