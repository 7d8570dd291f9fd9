import { describe, expect, test } from "vitest";
import { wordsFor, wrongAt } from "../../test/_kit.ts";
import { sessionStatuses } from "../../test/examples/sessions.ts";
import { routes } from "../routes.ts";
import type { Route } from "./route.ts";

const nameOf = ({ method, path }: Route) => `${method.toUpperCase()} ${path}`;

/** A name alone: as long as nobody sends it, there is none. `name=value`: what it is then. */
const queries: Record<string, string[]> = {
  "GET /v1/agents": ["limit=20", "page", "include_archived=false", ...created()],
  "GET /v1/agents/{id}": ["version"],
  "GET /v1/agents/{id}/versions": ["limit=20", "page"],
  "GET /v1/environments": ["limit=20", "page", "include_archived=false"],
  "GET /v1/sessions": [
    ...["limit=20", "page", "order", "include_archived=false"],
    ...created(),
    ...["agent_id", "agent_version", "statuses"],
  ],
  "GET /v1/sessions/{id}/events": ["limit=100", "page", "order", "types", ...created()],
  "GET /v1/sessions/{id}/events/stream": ["after", "event_deltas"],
  "GET /v1/sessions/{id}/stream": ["after", "event_deltas"],
  "GET /v1/sessions/{id}/claude/context": ["start=false"],
  "GET /v1/sessions/{id}/claude/models": ["start=false"],
  "GET /v1/sessions/{id}/claude/mcp": ["start=false"],
  "GET /v1/sessions/{id}/claude/permissions": ["start=false"],
  "GET /v1/sessions/{id}/claude/commands": ["start=false"],
  "GET /v1/sessions/{id}/claude/files": ["start=false", "query="],
  "GET /v1/sessions/{id}/claude/settings": ["start=false"],
  "GET /v1/sessions/{id}/claude/usage": ["start=false"],
  "GET /v1/sessions/{id}/claude/hooks": ["start=false"],
  "GET /v1/sessions/{id}/claude/plan": ["start=false"],
  "GET /v1/events/stream": ["sessions", "after", "event_deltas", "deltas_of"],
  "GET /v1/sessions/{id}/raw": ["full"],
  "GET /v1/accounts": ["limit=20", "page"],
  "GET /v1/api_keys": ["limit=20", "page"],
  "GET /v1/workspaces": ["limit=20", "page"],
  "GET /v1/workspaces/{id}/permission_rules": ["limit=20", "page"],
  "GET /v1/workspaces/{id}/terminals/{terminal_id}/attach": ["offset", "writer"],
  "GET /v1/sandboxes": ["limit=20", "page"],
  "GET /login": ["token", "problem"],
};

function created(): string[] {
  return ["gte", "lte", "gt", "lt"].map((side) => `created_at[${side}]`);
}

test("routes take these parameters, with these defaults, and no others take any", () => {
  const taking = routes.filter(({ query }) => query !== undefined);
  const said = taking.map((route): [string, string[]] => [
    nameOf(route),
    Object.entries(route.query ?? {}).map(([name, { schema }]) => {
      const { success, data } = schema.safeParse(undefined);
      return success ? `${name}=${String(data)}` : name;
    }),
  ]);
  expect(Object.fromEntries(said)).toEqual(queries);
});

interface Rule {
  route: string;
  parameter: string;
  takes: readonly unknown[];
  refuses: readonly unknown[];
}

const ids = (length: number) => Array.from({ length }, (_, index) => `sesn_${index}`);

const rules: Rule[] = [
  { route: "GET /v1/agents", parameter: "limit", takes: [1, 100], refuses: [0, 101, -1, 1.5] },
  { route: "GET /v1/agents/{id}", parameter: "version", takes: [1, 1_000_000_000], refuses: [0, 1_000_000_001, 1.5] },
  { route: "GET /v1/agents/{id}/versions", parameter: "limit", takes: [1, 100], refuses: [0, 101] },
  { route: "GET /v1/environments", parameter: "limit", takes: [1, 100], refuses: [0, 101] },
  { route: "GET /v1/sessions", parameter: "limit", takes: [1, 100], refuses: [0, 101] },
  { route: "GET /v1/sessions", parameter: "order", takes: ["asc", "desc"], refuses: ["", "up", "ASC"] },
  { route: "GET /v1/sessions", parameter: "agent_id", takes: ["agent_1", "default"], refuses: [5] },
  { route: "GET /v1/sessions", parameter: "agent_version", takes: [0, 1_000_000_000], refuses: [-1, 1_000_000_001] },
  {
    route: "GET /v1/sessions",
    parameter: "statuses",
    takes: [[], sessionStatuses],
    refuses: [["busy"], ["Idle"], [""]],
  },
  { route: "GET /v1/sessions/{id}/events", parameter: "limit", takes: [1, 1_000], refuses: [0, 1_001] },
  {
    route: "GET /v1/sessions/{id}/events",
    parameter: "types",
    takes: [[], ["agent.message", "later.type"]],
    refuses: [[5]],
  },
  { route: "GET /v1/sessions/{id}/events", parameter: "order", takes: ["asc", "desc"], refuses: ["newest"] },
  {
    route: "GET /v1/sessions/{id}/events/stream",
    parameter: "after",
    takes: [0, 1, Number.MAX_SAFE_INTEGER],
    refuses: [-1, 0.5, "latest", Number.MAX_SAFE_INTEGER + 1],
  },
  {
    route: "GET /v1/sessions/{id}/stream",
    parameter: "event_deltas",
    takes: [[], ["agent.message"], ["agent.message", "agent.thinking"]],
    refuses: [["agent.tool_use"], ["all"], "agent.message"],
  },
  { route: "GET /v1/sessions/{id}/claude/context", parameter: "start", takes: [true, false], refuses: ["true", 1, ""] },
  { route: "GET /v1/sessions/{id}/raw", parameter: "full", takes: ["0", "1"], refuses: ["", "2", "true", 1] },
  {
    route: "GET /v1/events/stream",
    parameter: "sessions",
    takes: [ids(1), ids(100), ["sesn_1:42"]],
    refuses: [[], ids(101)],
  },
  { route: "GET /v1/events/stream", parameter: "after", takes: ["c".repeat(4096)], refuses: ["c".repeat(4097), 5] },
  { route: "GET /v1/events/stream", parameter: "deltas_of", takes: [[], ids(3)], refuses: ["sesn_1", [5]] },
  {
    route: "GET /v1/workspaces/{id}/terminals/{terminal_id}/attach",
    parameter: "offset",
    takes: [0, 2 ** 40],
    refuses: [-1, 0.5, 2 ** 53],
  },
  {
    route: "GET /v1/workspaces/{id}/terminals/{terminal_id}/attach",
    parameter: "writer",
    takes: ["a", "my-laptop_2", "w".repeat(40)],
    refuses: ["", "w".repeat(41), "a b", "a/b", "ä", "a\n", "a:1"],
  },
  { route: "GET /login", parameter: "token", takes: ["", "t0k3n"], refuses: [5, null] },
];

describe.each(rules)("$parameter of $route", ({ route, parameter, takes, refuses }) => {
  const { schema } = routes.find((each) => nameOf(each) === route)?.query?.[parameter] ?? {};

  test("takes what is inside of its bounds", () => {
    expect(takes.filter((value) => schema === undefined || wrongAt(schema, value).length > 0)).toEqual([]);
  });

  test("refuses what is outside of them", () => {
    expect(refuses.filter((value) => schema === undefined || wrongAt(schema, value).length === 0)).toEqual([]);
  });

  test("says in words of its own what it takes", () => {
    for (const value of refuses) {
      const words = schema === undefined ? [] : wordsFor(schema, value);
      for (const each of words) expect(each).not.toBe("Invalid input");
    }
  });
});

test("who follows too many sessions is told how many one stream follows, and how many were named", () => {
  const sessions = routes.find(({ path }) => path === "/v1/events/stream")?.query?.sessions?.schema;
  expect(sessions && wordsFor(sessions, ids(101))).toEqual([
    "one stream follows up to 100 sessions, and this names 101",
  ]);
  expect(sessions && wordsFor(sessions, [])).toEqual(["must name at least one session"]);
});
