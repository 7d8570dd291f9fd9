import { type Route, routes } from "@holdfast/protocol";
import { expect, test } from "vitest";
import { checkWhole } from "./mount.ts";

const stranger: Route = {
  method: "get",
  path: "/v1/stranger",
  tag: "Holdfast",
  summary: "",
  auth: "account",
  ok: { status: 200, description: "" },
};

test("a route without a handler, or a handler without a route, is named at the start", () => {
  expect(() => checkWhole(routes)).not.toThrow();
  expect(() => checkWhole(routes.slice(1))).toThrow("GET /v1/agents has no handler");
  expect(() => checkWhole([...routes, stranger])).toThrow("GET /v1/stranger is not in the table");
  expect(() => checkWhole([...routes, ...routes.slice(0, 1)])).toThrow("GET /v1/agents has two handlers");
  expect(() => checkWhole([...routes, stranger], [...routes, stranger])).not.toThrow();
  // The same words as another entry's, in an entry of its own.
  const again = { ...stranger };
  expect(() => checkWhole([...routes, stranger, again], [...routes, stranger, again])).toThrow("stands twice");
});
