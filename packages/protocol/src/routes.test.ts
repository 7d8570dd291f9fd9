import { describe, expect, test } from "vitest";
import { wrongAt } from "../test/_kit.ts";
import { answers, bodies, streams } from "../test/examples/answers.ts";
import { commandBody, definitionBody, maxBodyBytes, messageBody, smallBody } from "./limits.ts";
import { type ProblemCode, problems } from "./problem.ts";
import { boundsOf, type Route } from "./routes/route.ts";
import { api, routes } from "./routes.ts";

const nameOf = ({ method, path }: Route) => `${method.toUpperCase()} ${path}`;
const named = routes.map((route) => ({ name: nameOf(route), route }));
const namesWhere = (holds: (route: Route) => boolean) => routes.filter(holds).map(nameOf).sort();
const entries = Object.entries(api).flatMap(([noun, table]) =>
  Object.entries(table).map(([verb, route]): [string, Route] => [`${noun}.${verb}`, route]),
);

describe("the table", () => {
  test("has every noun's routes once", () => {
    expect(routes).toEqual(entries.map(([, route]) => route));
    expect(new Set(named.map(({ name }) => name)).size).toBe(routes.length);
  });

  test("has no two paths that differ in their parameters' names alone", () => {
    const byForm = Map.groupBy(routes, ({ path }) => path.replace(/\{\w+\}/g, "{}"));
    for (const [form, same] of byForm) expect(new Set(same.map(({ path }) => path)).size, form).toBe(1);
  });

  test("is open to anybody only where a browser or a watcher begins", () => {
    expect(namesWhere(({ auth }) => auth === "none")).toEqual([
      "GET /docs",
      "GET /docs/problems",
      "GET /health",
      "GET /login",
      "GET /openapi.json",
      "GET /ready",
      "GET /version",
      "POST /v1/login",
    ]);
  });

  test("keeps the installation's own matters to its administrator", () => {
    expect(namesWhere(({ auth }) => auth === "admin")).toEqual([
      "DELETE /v1/accounts/{id}",
      "DELETE /v1/credential",
      "GET /v1/sweep",
      "POST /v1/accounts",
      "PUT /v1/credential",
    ]);
  });

  test("answers 201 where something of ours was made, 200 where Managed Agents do", () => {
    expect(namesWhere(({ ok }) => ok.status === 201)).toEqual([
      "POST /v1/accounts",
      "POST /v1/api_keys",
      "POST /v1/workspaces",
      "POST /v1/workspaces/{id}/terminals",
    ]);
  });

  test("answers otherwise where there is nothing to be read", () => {
    expect(namesWhere(({ ok }) => ![200, 201].includes(ok.status))).toEqual([
      "GET /login",
      "GET /v1/workspaces/{id}/terminals/{terminal_id}/attach",
      "POST /v1/logout",
    ]);
    expect(namesWhere(({ ok }) => ok.schema === undefined && ok.type === undefined)).toEqual([
      "GET /login",
      "POST /v1/logout",
    ]);
  });

  test("answers with something else than JSON only here", () => {
    const typed = entries.filter(([, { ok }]) => ok.type !== undefined).map(([name, { ok }]) => `${name} ${ok.type}`);
    expect(typed.sort()).toEqual([
      "events.stream text/event-stream",
      "events.streamShort text/event-stream",
      "raw.read application/x-ndjson",
      "sandboxes.exec text/event-stream",
      "streams.follow text/event-stream",
      "system.docs text/html",
      "system.problems text/html",
    ]);
  });

  test("reads more than 64 KiB only where long texts, commands or images are sent", () => {
    const large = entries.filter(([, route]) => route.bounds !== undefined);
    expect(Object.fromEntries(large.map(([name, route]) => [name, boundsOf(route)]))).toEqual({
      "agents.create": definitionBody,
      "agents.update": definitionBody,
      "environments.create": definitionBody,
      "environments.update": definitionBody,
      "sessions.create": messageBody,
      "events.send": messageBody,
      "messages.update": messageBody,
      "sandboxes.exec": commandBody,
    });
  });

  test("speaks as Managed Agents on agents, environments, sessions and their events, and nowhere else", () => {
    const nouns = entries.filter(([, { tag }]) => tag === "Managed Agents").map(([name]) => name.split(".")[0]);
    expect([...new Set(nouns)]).toEqual(["agents", "environments", "sessions", "events"]);
  });
});

describe.each(named)("$name", ({ route }) => {
  const { method, path, summary, description, auth, query = {}, body, ok, problems: own = [], tag } = route;
  const parameters = [...path.matchAll(/\{([^}]*)\}/g)].map(([, name]) => name ?? "");

  test("has a path of words and named parameters", () => {
    expect(path).toMatch(/^(\/(\w[\w.]*|\{[a-z_]+\}))+$/);
    expect(new Set(parameters).size).toBe(parameters.length);
    expect(Object.keys(query).filter((name) => parameters.includes(name))).toEqual([]);
  });

  test("is of version 1, unless it is for whoever watches the process", () => {
    expect(path.startsWith("/v1/")).toBe(tag !== "System");
  });

  test("says in a line what it does", () => {
    expect(summary).toMatch(/^[A-Z]/);
    expect(summary).not.toMatch(/\.$|\n/);
    expect(summary.length).toBeLessThanOrEqual(70);
    expect(ok.description).not.toBe("");
    if (description !== undefined) expect(description).toMatch(/[.:]$/);
  });

  test("takes a body only where a body is usual", () => {
    if (method === "get" || method === "delete") expect(body).toBeUndefined();
    if (method === "put") expect(body).toBeDefined();
  });

  test("reads a bounded body", () => {
    const bounds = boundsOf(route);
    expect(bounds.bytes).toBeLessThanOrEqual(maxBodyBytes);
    for (const most of Object.values(bounds)) expect(most).toBeGreaterThan(0);
    if (body === undefined) expect(bounds).toBe(smallBody);
  });

  test("says everything about its parameters", () => {
    for (const [name, parameter] of Object.entries(query)) {
      expect(name).toMatch(/^[a-z_]+(\[(gte|lte|gt|lt)\])?$/);
      expect(parameter.description, name).not.toBe("");
    }
  });

  test("can be asked without any parameter but those without which there is no answer", () => {
    const needed = Object.entries(query).filter(([, { form, schema }]) => {
      const absent = form === "list" ? [] : undefined;
      return form === "list" || schema.safeParse(undefined).success ? !schema.safeParse(absent).success : false;
    });
    expect(needed.map(([name]) => name)).toEqual(path === "/v1/events/stream" ? ["sessions"] : []);
  });

  test("takes only parameters of the right type", () => {
    for (const [name, { form, schema }] of Object.entries(query)) {
      const wrong = {
        integer: ["x", -1, 0.5, null],
        flag: ["yes", 1, null],
        list: ["a", null, [5]],
        text: [5, null],
        word: [5, null],
      };
      for (const value of wrong[form]) expect(wrongAt(schema, value), `${name}=${String(value)}`).not.toEqual([]);
    }
  });

  test("is refused with problems that are, each named once", () => {
    expect(new Set(own).size).toBe(own.length);
    for (const code of own) expect(problems[code].status, code).toBeGreaterThanOrEqual(400);
  });

  test("does not name what every route of its kind is refused with", () => {
    const everywhere: ProblemCode[] = [
      "internal",
      "host_refused",
      "origin_refused",
      "key_missing",
      "database_unavailable",
      "admin_only",
    ];
    expect(own.filter((code) => everywhere.includes(code))).toEqual([]);
    if (auth === "none") expect(own).not.toContain("admin_only");
  });
});

/** What a path names may be somebody else's, or gone. */
const owners: [RegExp, ProblemCode][] = [
  [/^\/v1\/sessions\/\{id\}/, "session_not_found"],
  [/^\/v1\/agents\/\{id\}/, "agent_not_found"],
  [/^\/v1\/environments\/\{id\}/, "environment_not_found"],
  [/^\/v1\/workspaces\/\{id\}/, "workspace_not_found"],
  [/^\/v1\/sandboxes\/\{id\}/, "sandbox_not_found"],
  [/^\/v1\/accounts\/\{id\}/, "account_not_found"],
  [/^\/v1\/api_keys\/\{id\}/, "api_key_not_found"],
  [/\{message_id\}/, "message_not_found"],
  [/\{task_id\}/, "task_not_found"],
  [/\{rule_id\}/, "permission_rule_not_found"],
  [/\{terminal_id\}/, "terminal_not_found"],
];

test.each(owners)("whoever asks for %s may be told %s", (form, code) => {
  const asking = routes.filter(({ path }) => form.test(path));
  expect(asking.length).toBeGreaterThan(0);
  expect(asking.filter((route) => !route.problems?.includes(code)).map(nameOf)).toEqual([]);
  const others = routes.filter(({ path }) => !form.test(path) && !path.startsWith("/v1/events/"));
  // Who makes a session names its agent and its environment in the body.
  const naming = others.filter((route) => route.problems?.includes(code)).map(nameOf);
  expect(naming).toEqual(/^(agent|environment)_not_found$/.test(code) ? ["POST /v1/sessions"] : []);
});

/** What the server throws, beside what every route and every body of its kind is refused with. */
const refusals: [string, ProblemCode[]][] = [
  ["POST /v1/sessions", ["agent_not_found", "agent_archived", "environment_not_found", "environment_archived"]],
  ["POST /v1/sessions", ["prompt_empty", "prompt_too_large", "workspace_name_invalid", "not_supported"]],
  ["POST /v1/sessions/{id}", ["session_archived", "not_supported"]],
  ["POST /v1/sessions/{id}/events", ["session_archived", "session_terminated", "prompt_empty", "prompt_too_large"]],
  ["POST /v1/sessions/{id}/events", ["confirmation_late", "too_many_messages", "not_supported"]],
  ["POST /v1/sessions/{id}/messages/{message_id}", ["message_taken", "prompt_empty", "prompt_too_large"]],
  ["DELETE /v1/sessions/{id}/messages/{message_id}", ["message_taken"]],
  ["POST /v1/agents/{id}", ["agent_archived", "agent_version_conflict", "not_supported"]],
  ["POST /v1/agents/{id}/archive", ["not_supported"]],
  ["POST /v1/environments/{id}", ["environment_archived", "not_supported"]],
  ["POST /v1/environments/{id}/archive", ["not_supported"]],
  ["DELETE /v1/environments/{id}", ["environment_in_use", "not_supported"]],
  ["POST /v1/workspaces", ["workspace_exists"]],
  ["POST /v1/workspaces/{id}", ["workspace_exists", "workspace_is_default"]],
  ["DELETE /v1/workspaces/{id}", ["workspace_busy", "workspace_is_default"]],
  ["POST /v1/accounts", ["account_exists", "account_name_invalid"]],
  ["DELETE /v1/accounts/{id}", ["account_is_default"]],
  ["POST /v1/sandboxes/{id}/exec", ["sandbox_ended", "exec_time_over"]],
  ["POST /v1/workspaces/{id}/terminals", ["too_many_terminals", "terminals_unsupported", "sandbox_unavailable"]],
  ["GET /v1/workspaces/{id}/terminals/{terminal_id}/attach", ["too_many_attached", "websocket_required"]],
  ["GET /login", ["key_wrong", "login_link_used"]],
  ["POST /v1/login", ["key_wrong", "login_link_used"]],
  ["GET /ready", ["not_ready"]],
  ["PUT /v1/credential", ["credential_invalid", "gateway_unavailable"]],
];

test.each(refusals)("%s says that it may be refused with %j", (name, codes) => {
  const own = named.find((each) => each.name === name)?.route.problems ?? [];
  expect(codes.filter((code) => !own.includes(code))).toEqual([]);
});

describe("answers", () => {
  const answering = entries.filter(([, { ok }]) => ok.schema !== undefined);

  test("every one has an example", () => {
    expect(Object.keys(answers).sort()).toEqual(answering.map(([name]) => name).sort());
  });

  test.each(answering)("%s answers with its example, over JSON too", (name, { ok }) => {
    const example: unknown = answers[name];
    expect(ok.schema?.parse(example)).toEqual(example);
    expect(ok.schema?.parse(JSON.parse(JSON.stringify(example)))).toEqual(example);
  });

  test.each(answering.filter(([name]) => name !== "system.openapi"))("%s answers with nothing less", (name, { ok }) => {
    for (const wrong of [{}, null, [], "ok", undefined]) {
      const { success } = ok.schema?.safeParse(wrong) ?? { success: true };
      expect(success, `${name} ${JSON.stringify(wrong)}`).toBe(false);
    }
  });

  test.each(answering.filter(([name]) => name !== "system.openapi"))("%s answers with nothing else", (name, { ok }) => {
    const other = answers[name === "system.version" ? "system.ready" : "system.version"];
    expect(ok.schema?.safeParse(other).success).toBe(false);
  });

  const lists = answering.filter(([name]) => Object.hasOwn(answers[name] as object, "next_page"));

  test.each(lists)("%s may have no entry and no page behind it, and always says so", (_name, { ok }) => {
    expect(ok.schema?.parse({ data: [], next_page: null })).toEqual({ data: [], next_page: null });
    expect(ok.schema && wrongAt(ok.schema, { data: [] })).toEqual(["next_page"]);
    expect(ok.schema && wrongAt(ok.schema, { data: null, next_page: null })).toEqual(["data"]);
  });

  test.each(lists)("%s can be read on from a page", (_name, { query }) => {
    expect(query).toMatchObject({ limit: { form: "integer" }, page: { form: "text" } });
  });

  test.each(Object.entries(streams))("%s streams each of its frames", (name, frames) => {
    const schema = entries.find(([each]) => each === name)?.[1].ok.schema;
    for (const frame of frames) expect(schema?.parse(frame)).toEqual(frame);
  });
});

describe("bodies", () => {
  const taking = entries.filter(([, { body }]) => body !== undefined);

  test("every one has an example", () => {
    expect(Object.keys(bodies).sort()).toEqual(taking.map(([name]) => name).sort());
  });

  test.each(taking)("%s takes its example, over JSON too", (name, { body }) => {
    expect(body && wrongAt(body, bodies[name])).toEqual([]);
    expect(body?.parse(JSON.parse(JSON.stringify(bodies[name])))).toEqual(body?.parse(bodies[name]));
  });

  test.each(taking)("%s takes no list, no word, no number and no null", (_name, { body }) => {
    for (const value of [[], "{}", 5, null, true]) expect(body && wrongAt(body, value)).toEqual([""]);
  });

  test.each(taking.filter(([, { tag }]) => tag !== "Managed Agents"))(
    "%s names a field that it does not know",
    (name, { body }) => {
      expect(body && wrongAt(body, { ...(bodies[name] as object), surprise: 1 })).toEqual(["surprise"]);
    },
  );

  test.each(taking)("%s takes nothing where nothing must be said", (name, { body }) => {
    const mayBeEmpty = [
      ...["agents.update", "environments.update", "sessions.create", "sessions.update"],
      ...["messages.update", "logins.logout", "terminals.create"],
    ];
    expect(body?.safeParse({}).success).toBe(mayBeEmpty.includes(name));
  });
});
