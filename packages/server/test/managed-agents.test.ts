import { once } from "node:events";
import { connect, createServer, type Server as NetServer, type Socket } from "node:net";
import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sqlOn, type TestServer, testServer, userMessage } from "./_server.ts";

let it: TestServer;
let key: string;
let client: Anthropic;
let other: Anthropic;
beforeAll(async () => {
  it = await testServer();
  ({ apiKey: key, client } = await it.account("tester"));
  ({ client: other } = await it.account("someone else"));
});
afterAll(() => it?.[Symbol.asyncDispose]());

const model = "claude-opus-5-5";
const agents = () => client.beta.agents;
const environments = () => client.beta.environments;
const sessions = () => client.beta.sessions;
const newSession = (params: object = {}) =>
  sessions().create({ agent: "agent_default", environment_id: "env_default", ...params });

async function collect<T>(list: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of list) all.push(each);
  return all;
}

/** What the SDK throws; fails when it does not. */
async function refusal(call: Promise<unknown>): Promise<InstanceType<typeof Anthropic.APIError>> {
  try {
    await call;
  } catch (error) {
    if (error instanceof Anthropic.APIError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

describe("agents", () => {
  test("create fills in what was left out; retrieve gives the same", async () => {
    const agent = await agents().create({
      name: "helper",
      model: { id: model, effort: "high" },
      system: "Be brief",
      metadata: { team: "a" },
      tools: [
        {
          type: "agent_toolset_20260401",
          default_config: { permission_policy: { type: "always_ask" } },
          configs: [
            { name: "read", permission_policy: { type: "always_allow" } },
            { name: "bash", enabled: false },
          ],
        },
      ],
    });
    expect(agent).toMatchObject({
      type: "agent",
      version: 1,
      name: "helper",
      description: null,
      model: { id: model, speed: "standard", effort: { type: "high" } },
      system: "Be brief",
      metadata: { team: "a" },
      archived_at: null,
      mcp_servers: [],
      skills: [],
      multiagent: null,
      execution_identity: { type: "service_account" },
    });
    const ask = { type: "always_ask" };
    expect(agent.tools).toEqual([
      {
        type: "agent_toolset_20260401",
        default_config: { enabled: true, permission_policy: ask },
        configs: [
          { type: "read", name: "read", enabled: true, permission_policy: { type: "always_allow" } },
          { type: "bash", name: "bash", enabled: false, permission_policy: ask },
        ],
      },
    ]);
    expect(await agents().retrieve(agent.id)).toEqual(agent);
  });

  test("every change makes a version; a session keeps the one that it began with", async () => {
    const first = await agents().create({ name: "v", model, metadata: { a: "1", b: "2" } });
    const session = await newSession({ agent: first.id });
    const second = await agents().update(first.id, { system: "New", metadata: { a: null, c: "3" }, version: 1 });
    expect(second).toMatchObject({ version: 2, system: "New", name: "v", metadata: { b: "2", c: "3" } });
    expect((await agents().update(first.id, { system: "New" })).version).toBe(2);
    expect((await refusal(agents().update(first.id, { system: "Late", version: 1 }))).status).toBe(409);
    expect((await agents().update(first.id, { system: "" })).system).toBeNull();
    expect(await agents().retrieve(first.id, { version: 1 })).toEqual(first);
    const versions = await collect(agents().versions.list(first.id, { limit: 1 }));
    expect(versions.map(({ version }) => version)).toEqual([3, 2, 1]);
    expect((await sessions().retrieve(session.id)).agent).toMatchObject({ id: first.id, version: 1, system: null });
    const old = await newSession({ agent: { type: "agent", id: first.id, version: 2 } });
    expect(old.agent.system).toBe("New");
    const overrides = { type: "agent_with_overrides", id: first.id, system: "Mine", model: "claude-haiku-5-5" };
    expect((await newSession({ agent: overrides })).agent).toMatchObject({
      system: "Mine",
      model: { id: "claude-haiku-5-5" },
      version: 3,
    });
  });

  test("lists go over pages; archived ones are left out, and take no new session", async () => {
    const { client: own } = await it.account("agent lists");
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push((await own.beta.agents.create({ name: `agent ${n}`, model })).id);
    const [archived = "", ...rest] = ids;
    expect((await own.beta.agents.archive(archived)).archived_at).toEqual(expect.any(String));
    const listed = await collect(own.beta.agents.list({ limit: 2 }));
    expect(listed.map(({ id }) => id).toSorted()).toEqual(rest.toSorted());
    expect(await collect(own.beta.agents.list({ limit: 2, include_archived: true }))).toHaveLength(5);
    const create = own.beta.sessions.create({ agent: archived, environment_id: "env_default" });
    expect((await refusal(create)).status).toBe(409);
    expect((await refusal(own.beta.agents.update(archived, { name: "x" }))).status).toBe(409);
    const early = new Date(Date.now() - 60_000).toISOString();
    expect(await collect(own.beta.agents.list({ "created_at[lte]": early }))).toEqual([]);
    expect(await collect(own.beta.agents.list({ "created_at[gte]": early }))).toHaveLength(4);
  });

  test.each([
    ["mcp_servers", { mcp_servers: [{ type: "url", name: "x", url: "https://x.example" }] }],
    ["skills", { skills: [{ type: "anthropic", skill_id: "xlsx" }] }],
    ["multiagent", { multiagent: { type: "coordinator", agents: ["self"] } }],
    ["tools", { tools: [{ type: "custom", name: "x", description: "y", input_schema: { type: "object" } }] }],
    [
      "permission_policy",
      { tools: [{ type: "agent_toolset_20260401", default_config: { permission_policy: { type: "auto" } } }] },
    ],
    [
      "allowed_domains",
      { tools: [{ type: "agent_toolset_20260401", configs: [{ name: "web_fetch", allowed_domains: ["x"] }] }] },
    ],
    ["model", { model: "--dangerous flag" }],
    ["model", { model: 7 }],
    ["name", { name: "" }],
    ["system", { system: "a\u0000b" }],
    ["metadata", { metadata: { key: 5 } }],
    ["execution_identity", { execution_identity: { type: "aws_role", role_arn: "arn:x" } }],
  ])("%s is refused and named: %j", async (field, params) => {
    const error = await refusal(agents().create({ name: "x", model, ...params } as never));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.type).toBe("invalid_request_error");
    expect(error.message).toContain(field);
  });
});

describe("environments", () => {
  test("create, retrieve, list, update, archive, delete", async () => {
    const { client: own } = await it.account("environments");
    const all = own.beta.environments;
    const made = await all.create({
      name: "py",
      config: {
        type: "cloud",
        networking: { type: "limited" },
        packages: { apt: ["jq=1.6"], pip: ["numpy>=2"], npm: ["@scope/x@1"] },
      },
    });
    expect(made).toMatchObject({
      type: "environment",
      name: "py",
      config: {
        type: "cloud",
        networking: { type: "limited", allowed_hosts: [] },
        packages: { apt: ["jq=1.6"], pip: ["numpy>=2"], npm: ["@scope/x@1"], cargo: [], gem: [], go: [] },
      },
      archived_at: null,
    });
    const changed = await all.update(made.id, { name: "python", metadata: { a: "1" } });
    expect(changed).toMatchObject({ name: "python", metadata: { a: "1" }, config: made.config });
    for (let n = 0; n < 4; n++) await all.create({ name: `more ${n}` });
    expect(await collect(all.list({ limit: 2 }))).toHaveLength(5);
    await all.archive(made.id);
    expect(await collect(all.list({ limit: 2 }))).toHaveLength(4);
    expect(await collect(all.list({ include_archived: true }))).toHaveLength(5);
    const create = (id: string) => own.beta.sessions.create({ agent: "agent_default", environment_id: id });
    expect((await refusal(create(made.id))).status).toBe(400);
    expect(await all.delete(made.id)).toEqual({ id: made.id, type: "environment_deleted" });
    expect((await refusal(all.retrieve(made.id))).status).toBe(404);
    const used = await all.create({ name: "used" });
    const session = await create(used.id);
    expect(session.environment_id).toBe(used.id);
    expect((await refusal(all.delete(used.id))).status).toBe(409);
    await own.beta.sessions.delete(session.id);
    await all.delete(used.id);
  });

  test("without an engine its build has failed, and it says so", async () => {
    const { id } = await environments().create({ name: "x", config: { type: "cloud", packages: { apt: ["jq"] } } });
    const image = async () =>
      ((await environments().retrieve(id)) as unknown as { holdfast: { image: object } }).holdfast.image;
    await expect.poll(image).toMatchObject({ state: "failed", detail: expect.stringContaining("engine") });
  });

  test.each([
    ["networking", { config: { type: "cloud", networking: { type: "unrestricted" } } }],
    ["allowed_hosts", { config: { type: "cloud", networking: { type: "limited", allowed_hosts: ["x.example"] } } }],
    ["cargo", { config: { type: "cloud", packages: { cargo: ["ripgrep"] } } }],
    ["apt", { config: { type: "cloud", packages: { apt: ["jq; rm -rf /"] } } }],
    ["pip", { config: { type: "cloud", packages: { pip: ["--index-url=http://x"] } } }],
    ["config.type", { config: { type: "self_hosted" } }],
    ["scope", { scope: "organization" }],
    ["image_commands", { holdfast: { image_commands: ["USER nobody"] } }],
    ["image_commands", { holdfast: { image_commands: ["RUN true\nUSER nobody"] } }],
  ])("%s is refused and named: %j", async (field, params) => {
    const error = await refusal(environments().create({ name: "x", ...params } as never));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.message).toContain(field);
  });
});

describe("sessions", () => {
  test("pages lead forward and back, through every filter", async () => {
    const { client: own } = await it.account("session lists");
    const agent = await own.beta.agents.create({ name: "a", model });
    const create = (id: string) => own.beta.sessions.create({ agent: id, environment_id: "env_default" });
    const ids: string[] = [];
    for (let n = 0; n < 7; n++) ids.push((await create(n % 2 === 0 ? agent.id : "agent_default")).id);
    const all = own.beta.sessions;
    const sorted = ids.toSorted();
    expect((await collect(all.list({ limit: 2, order: "asc" }))).map(({ id }) => id)).toEqual(sorted);
    expect((await collect(all.list({ limit: 3 }))).map(({ id }) => id)).toEqual(sorted.toReversed());
    const first = await all.list({ limit: 3, order: "asc" });
    expect(first.prev_page).toBeNull();
    const second = await all.list({ limit: 3, order: "asc", page: first.next_page });
    const third = await all.list({ limit: 3, order: "asc", page: second.next_page });
    expect([third.data.length, third.next_page]).toEqual([1, null]);
    const back = await all.list({ limit: 3, order: "asc", page: third.prev_page });
    expect(back.data).toEqual(second.data);
    const start = await all.list({ limit: 3, order: "asc", page: back.prev_page });
    expect(start.data).toEqual(first.data);
    expect(start.prev_page).toBeNull();
    expect(await collect(all.list({ agent_id: agent.id }))).toHaveLength(4);
    expect(await collect(all.list({ agent_id: agent.id, agent_version: 2 }))).toHaveLength(0);
    expect(await collect(all.list({ statuses: ["running"] }))).toHaveLength(0);
    expect(await collect(all.list({ statuses: ["idle", "running"] }))).toHaveLength(7);
    const { created_at: at } = await all.retrieve(sorted.at(3) ?? "");
    const times = (await collect(all.list())).map(({ created_at }) => created_at);
    expect(await collect(all.list({ "created_at[gt]": at }))).toHaveLength(times.filter((each) => each > at).length);
    expect(await collect(all.list({ "created_at[lte]": at }))).toHaveLength(times.filter((each) => each <= at).length);
    await all.archive(ids[0] ?? "");
    expect(await collect(all.list())).toHaveLength(6);
    expect(await collect(all.list({ include_archived: true }))).toHaveLength(7);
  });

  test("update: title and metadata, told in the log; the workspace stays", async () => {
    const { id } = await newSession({ title: "old", metadata: { a: "1", b: "2", "holdfast.workspace": "w" } });
    const changed = await sessions().update(id, { title: "new", metadata: { a: null, c: "3" } });
    expect(changed).toMatchObject({ title: "new", metadata: { b: "2", c: "3", "holdfast.workspace": "w" } });
    const [event] = await collect(sessions().events.list(id));
    expect(event).toMatchObject({ type: "session.updated", title: "new" });
    expect((await sessions().update(id, { title: null })).title).toBeNull();
    const moved = await refusal(sessions().update(id, { metadata: { "holdfast.workspace": "other" } }));
    expect(moved.status).toBe(400);
    for (const params of [{ agent: { tools: [] } }, { budget: { type: "limit" } }, { vault_ids: ["v"] }]) {
      const error = await refusal(sessions().update(id, params as never));
      expect(error.message).toContain(Object.keys(params)[0]);
    }
  });

  test("archived sessions can be read, and take nothing more", async () => {
    const { id } = await newSession();
    expect((await sessions().archive(id)).archived_at).toEqual(expect.any(String));
    expect((await sessions().retrieve(id)).archived_at).toEqual(expect.any(String));
    const error = await refusal(sessions().events.send(id, userMessage("x")));
    expect(error).toBeInstanceOf(Anthropic.ConflictError);
    expect((await refusal(sessions().update(id, { title: "x" }))).status).toBe(409);
  });

  test("delete removes it and ends its streams", async () => {
    const { id } = await newSession({ initial_events: userMessage("hello").events });
    const stream = await sessions().events.stream(id);
    const reading = collect(stream);
    expect(await sessions().delete(id)).toEqual({ id, type: "session_deleted" });
    expect((await reading).at(-1)?.type).toBe("session.deleted");
    expect((await refusal(sessions().retrieve(id))).status).toBe(404);
    expect((await refusal(sessions().events.send(id, userMessage("x")))).status).toBe(404);
    expect((await refusal(sessions().delete(id))).status).toBe(404);
  });

  test("initial events are the session's first", async () => {
    const { id } = await newSession({ initial_events: userMessage("hello").events });
    const [first] = await collect(sessions().events.list(id));
    expect(first).toMatchObject({ type: "user.message", content: [{ type: "text", text: "hello" }] });
    const outcome = [{ type: "user.define_outcome", description: "x", rubric: { type: "text", content: "y" } }];
    expect((await refusal(newSession({ initial_events: outcome }))).message).toContain("initial_events");
  });

  test("events: by time, over three pages and more, and no cursor of another session", async () => {
    const [one, two] = [await newSession(), await newSession()];
    for (let n = 0; n < 7; n++)
      await it.server.log.append({
        sessionId: one.id,
        events: [{ type: "user.interrupt" }],
        atMs: 1_700_000_000_000 + n,
      });
    expect(await collect(sessions().events.list(one.id, { limit: 2 }))).toHaveLength(7);
    const at = (ms: number) => new Date(1_700_000_000_000 + ms).toISOString();
    const between = { "created_at[gt]": at(1), "created_at[lt]": at(5) };
    expect(await collect(sessions().events.list(one.id, { ...between, limit: 1, order: "desc" }))).toHaveLength(3);
    const page = (await sessions().events.list(one.id, { limit: 2 })).next_page;
    const error = await refusal(Promise.resolve(sessions().events.list(two.id, { page })));
    expect(error.status).toBe(400);
    expect(error.message).toContain("page");
    const wrong = await refusal(Promise.resolve(sessions().events.list(one.id, { "created_at[gt]": "yesterday" })));
    expect(wrong.message).toContain("created_at[gt]");
    const deltas = sessions().events.stream(one.id, { event_deltas: ["user.message"] as never });
    expect((await refusal(deltas)).message).toContain("event_deltas");
  });

  test("a confirmation of what nobody asked is refused, with the field", async () => {
    const { id } = await newSession();
    const event = { type: "user.tool_confirmation" as const, tool_use_id: "sevt_x", result: "allow" as const };
    const error = await refusal(sessions().events.send(id, { events: [event] }));
    expect(error.status).toBe(400);
    expect(error.message).toContain("events.0.tool_use_id");
    expect(await collect(sessions().events.list(id))).toEqual([]);
  });
});

describe("ids", () => {
  test("another account's and unknown ones are not found, all alike", async () => {
    const agent = await agents().create({ name: "mine", model });
    const environment = await environments().create({ name: "mine" });
    const session = await newSession();
    const beta = other.beta;
    const calls: [string, (id: string) => Promise<unknown>][] = [
      [agent.id, (id) => beta.agents.retrieve(id)],
      [agent.id, (id) => beta.agents.update(id, { name: "x" })],
      [agent.id, (id) => beta.agents.archive(id)],
      [agent.id, async (id) => await beta.agents.versions.list(id)],
      [agent.id, (id) => beta.sessions.create({ agent: id, environment_id: "env_default" })],
      [environment.id, (id) => beta.environments.retrieve(id)],
      [environment.id, (id) => beta.environments.update(id, { name: "x" })],
      [environment.id, (id) => beta.environments.archive(id)],
      [environment.id, (id) => beta.environments.delete(id)],
      [environment.id, (id) => beta.sessions.create({ agent: "agent_default", environment_id: id })],
      [session.id, (id) => beta.sessions.retrieve(id)],
      [session.id, (id) => beta.sessions.update(id, { title: "x" })],
      [session.id, (id) => beta.sessions.archive(id)],
      [session.id, (id) => beta.sessions.delete(id)],
      [session.id, async (id) => await beta.sessions.events.list(id)],
      [session.id, (id) => beta.sessions.events.send(id, userMessage("x"))],
      [session.id, (id) => beta.sessions.events.stream(id)],
    ];
    for (const [theirs, call] of calls) {
      const unknown = `${theirs.slice(0, -4)}ZZZZ`;
      const [foreign, missing] = [await refusal(call(theirs)), await refusal(call(unknown))];
      expect(foreign, String(call)).toBeInstanceOf(Anthropic.NotFoundError);
      expect(foreign.message.replace(theirs, "").replaceAll(/req_\w+/g, "")).toBe(
        missing.message.replace(unknown, "").replaceAll(/req_\w+/g, ""),
      );
    }
  });

  test("the built-in agent and environment can be read and not changed", async () => {
    expect(await agents().retrieve("agent_default")).toMatchObject({ id: "agent_default", version: 1 });
    expect(await environments().retrieve("env_default")).toMatchObject({ id: "env_default" });
    expect((await refusal(agents().update("agent_default", { name: "x" }))).status).toBe(400);
    expect((await refusal(environments().delete("env_default"))).status).toBe(400);
  });
});

describe("error classes", () => {
  const clientWith = (options: ConstructorParameters<typeof Anthropic>[0]) =>
    new Anthropic({ baseURL: it.url, apiKey: key, maxRetries: 0, ...options });

  test("401, 403, 404, 413", async () => {
    const wrong = clientWith({ apiKey: "hfk_wrong" }).beta.sessions.list();
    expect(await refusal(Promise.resolve(wrong))).toBeInstanceOf(Anthropic.AuthenticationError);
    const foreign = clientWith({ defaultHeaders: { origin: "https://evil.example" } }).beta.agents.list();
    expect(await refusal(Promise.resolve(foreign))).toBeInstanceOf(Anthropic.PermissionDeniedError);
    const missing = await refusal(Promise.resolve(client.beta.vaults.list()));
    expect(missing).toBeInstanceOf(Anthropic.NotFoundError);
    expect(missing.type).toBe("not_found_error");
    const { id } = await newSession();
    const large = await refusal(sessions().events.send(id, userMessage("x".repeat(5 * 1024 * 1024))));
    expect([large.status, large.type]).toEqual([413, "request_too_large"]);
  });

  test("429 when too many messages wait", async () => {
    const never = new Promise<never>(() => undefined);
    const provider = { buildImage: () => never, create: () => never, find: async () => [], tags: async () => ({}) };
    await using stuck = await testServer({}, { provider: { ...provider, deleteVolume: () => never } as never });
    const { client: own } = await stuck.account("eager");
    const { id } = await own.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
    const [event] = userMessage("again").events;
    if (event === undefined) throw new Error("no event");
    const events = Array.from({ length: 100 }, () => event);
    for (let n = 0; n < 2; n++) await own.beta.sessions.events.send(id, { events });
    const error = await refusal(own.beta.sessions.events.send(id, { events: [event] }));
    expect(error).toBeInstanceOf(Anthropic.RateLimitError);
    await own.beta.sessions.events.send(id, { events: [{ type: "user.interrupt" }] });
  });

  test("500 tells nothing of the inside", async () => {
    await using broken = await testServer();
    const { client: own } = await broken.account("unlucky");
    await sqlOn(broken.dataDir, "DROP TABLE agent_versions");
    const error = await refusal(Promise.resolve(own.beta.agents.list()));
    expect(error).toBeInstanceOf(Anthropic.InternalServerError);
    expect(error.message).not.toMatch(/agent_versions|sqlite|node_modules|packages/i);
  });
});

/** Forwards, and cuts the first connections once the server's answer comes. */
async function cuttingProxy(
  target: string,
  cuts: number,
): Promise<{ url: string; seen: () => number } & AsyncDisposable> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let seen = 0;
  const server: NetServer = createServer((socket) => {
    const upstream = connect(Number(port), hostname);
    for (const each of [socket, upstream]) {
      sockets.add(each);
      // A cut is what is wanted.
      each.on("error", () => undefined);
      each.on("close", () => sockets.delete(each));
    }
    socket.pipe(upstream);
    upstream.on("data", (data) => {
      if (seen++ < cuts) {
        socket.destroy();
        upstream.destroy();
      } else socket.write(data);
    });
    upstream.on("end", () => socket.end());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  return {
    url: `http://127.0.0.1:${address.port}`,
    seen: () => seen,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

describe("cut connections", () => {
  const allowed = { allowedHosts: ["127.0.0.1"] };

  test("a POST that the SDK repeats counts once: message, session, agent, environment", async () => {
    await using cutServer = await testServer(allowed);
    const { apiKey, client: direct } = await cutServer.account("cut");
    const through = async <T>(call: (sdk: Anthropic) => Promise<T>): Promise<T> => {
      await using proxy = await cuttingProxy(cutServer.url, 1);
      const result = await call(new Anthropic({ baseURL: proxy.url, apiKey, maxRetries: 2 }));
      expect(proxy.seen()).toBeGreaterThan(1);
      return result;
    };
    const session = await through((sdk) =>
      sdk.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" }),
    );
    await through((sdk) => sdk.beta.agents.create({ name: "once", model }));
    await through((sdk) => sdk.beta.environments.create({ name: "once" }));
    await through((sdk) => sdk.beta.sessions.events.send(session.id, userMessage("once")));
    expect(await collect(direct.beta.sessions.list())).toHaveLength(1);
    expect(await collect(direct.beta.agents.list())).toHaveLength(1);
    expect(await collect(direct.beta.environments.list())).toHaveLength(1);
    const said = await collect(direct.beta.sessions.events.list(session.id, { types: ["user.message"] }));
    expect(said).toHaveLength(1);
  });

  test("a stream that was cut is opened again and shows the turn from its message on", async () => {
    await using cutServer = await testServer(allowed);
    const { apiKey, client: direct } = await cutServer.account("cut");
    const { id } = await direct.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
    await direct.beta.sessions.events.send(id, userMessage("look"));
    await using proxy = await cuttingProxy(cutServer.url, 1);
    const sdk = new Anthropic({ baseURL: proxy.url, apiKey, maxRetries: 2 });
    const types: string[] = [];
    for await (const event of await sdk.beta.sessions.events.stream(id)) {
      types.push(event.type);
      if (event.type === "session.status_idle") break;
    }
    expect(types[0]).toBe("user.message");
    expect(types.at(-1)).toBe("session.status_idle");
  });
});
