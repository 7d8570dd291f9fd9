import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AppError, isAppError, type ProblemCode, problems } from "./problem.ts";
import { routes } from "./routes.ts";

const root = join(import.meta.dirname, "../../..");
const codes = Object.keys(problems) as ProblemCode[];
const page = readFileSync(join(root, "docs/problems.md"), "utf8");

/** The lines of the page's table: what stands between the bars. */
const rows = page
  .split("\n")
  .filter((line) => line.startsWith('| <a id="'))
  .map((line) => line.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, "")));

/** What Anthropic's API answers with each of its types, as its documentation has it; ours beside them. */
const statusesOf: Record<string, readonly number[]> = {
  invalid_request_error: [400, 405, 408, 426],
  authentication_error: [401],
  permission_error: [403],
  not_found_error: [404],
  conflict_error: [409],
  request_too_large: [413],
  rate_limit_error: [429],
  api_error: [409, 500, 502, 503, 507],
  overloaded_error: [503],
  timeout_error: [504],
};

test("the page of problems has every code once, in the table's order", () => {
  expect(rows.map(([cell]) => /`(\w+)`$/.exec(cell ?? "")?.[1])).toEqual(codes);
});

test("titles tell problems apart", () => {
  const titles = Object.values(problems).map(({ title }) => title);
  expect(new Set(titles).size).toBe(titles.length);
});

describe.each(codes)("%s", (code) => {
  const { status, title, remedy, retryable, anthropicType } = problems[code];

  test("is a name that can stand in a URL", () => {
    expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
  });

  test("has a status of a refusal that fits the type of official clients", () => {
    expect(statusesOf[anthropicType]).toContain(status);
  });

  test("says what happened in one short sentence", () => {
    expect(title).toMatch(/^[A-Z]/);
    expect(title).not.toMatch(/[.!]$|\n/);
    expect(title.length).toBeLessThanOrEqual(80);
  });

  test("says what to do in whole sentences", () => {
    expect(remedy).toMatch(/^[A-Z`]/);
    expect(remedy, "it is no copy of what happened").not.toContain(title);
    expect(remedy.split(" ").length).toBeGreaterThanOrEqual(3);
    expect(remedy).not.toMatch(/\n|\s{2}|undefined/);
  });

  test("stands on the page as it is answered", () => {
    const row = rows.find(([cell]) => cell?.endsWith(`\`${code}\``));
    expect(row).toEqual([
      `<a id="${code}"></a>\`${code}\``,
      `${status}`,
      retryable ? "yes" : "no",
      `${title}.`,
      remedy,
    ]);
  });

  test("sends nobody to a route that does not exist", () => {
    const named = [...remedy.matchAll(/\b(GET|POST|PUT|DELETE) (\/v1\/[\w{}/]+)/g)];
    const known = routes.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    expect(named.map(([, method, path]) => `${method} ${path}`).filter((each) => !known.includes(each))).toEqual([]);
  });

  test("sends nobody to a page that does not exist", () => {
    const named = [...remedy.matchAll(/docs\/[\w-]+\.md/g)].map(([path]) => path);
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  test("becomes an error with its own words", () => {
    const error = new AppError(code);
    expect(error.entry).toMatchObject({ status, title, remedy, retryable });
    expect(error.message).toBe(title);
    expect(error.code).toBe(code);
  });
});

test("what may be sent again is what passes by itself, or breaks on our side", () => {
  const again = codes.filter((code) => problems[code].retryable && problems[code].status < 500);
  expect(again.sort()).toEqual(["environment_busy", "too_many_messages", "turn_interrupted", "workspace_busy"]);
});

test.each([400, 401, 403, 404, 405, 413, 426] as const)(
  "nobody is told to send again what was answered %i",
  (status) => {
    expect(codes.filter((code) => problems[code].status === status && problems[code].retryable)).toEqual([]);
  },
);

test("what is not there is 404, and nothing else is", () => {
  const missing = codes.filter((code) => code.endsWith("_not_found"));
  expect(codes.filter((code) => problems[code].status === 404)).toEqual(missing);
});

test("what a name is taken by is a conflict", () => {
  for (const code of codes.filter((each) => /_(exists|archived|busy|in_use|ended|taken)$/.test(each))) {
    // An archived environment is a wrong choice of a new session's, in Managed Agents too.
    expect(problems[code].status, code).toBe(code === "environment_archived" ? 400 : 409);
  }
});

test("no remedy shows a secret or a path of a machine", () => {
  for (const { remedy } of Object.values(problems))
    expect(remedy).not.toMatch(/sk-ant-\w{4}|\/home\/|\/root\/|\/work\//);
});

test("an error says what happened in this case", () => {
  const cause = new Error("ENOSPC");
  const errors = [{ path: "title", message: "is too long" }];
  const error = new AppError("request_invalid", { detail: "title: is too long", errors, cause });
  expect(error.message).toBe("title: is too long");
  expect(error.errors).toEqual(errors);
  expect(error.cause).toBe(cause);
  expect(error.name).toBe("AppError");
});

test("an error without fields has an empty list of them", () => {
  expect(new AppError("internal").errors).toEqual([]);
});

test("an error is known by its brand, also one of another copy of this package", () => {
  expect(isAppError(new AppError("internal"))).toBe(true);
  expect(isAppError({ [Symbol.for("holdfast.AppError")]: true })).toBe(true);
});

test.each([
  ["another error", new Error("other")],
  ["an error that calls itself one", Object.assign(new Error("other"), { name: "AppError", code: "internal" })],
  ["JSON of one", JSON.parse(JSON.stringify(new AppError("internal"))) as unknown],
  ["null", null],
  ["undefined", undefined],
  ["a text", "AppError"],
  ["a function", () => new AppError("internal")],
])("%s is none", (_what, value) => {
  expect(isAppError(value)).toBe(false);
});
