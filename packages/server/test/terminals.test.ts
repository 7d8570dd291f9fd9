import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Terminal } from "@holdfast/protocol";
import { expect, test } from "vitest";
import { type LocalSystem, localSystem, request } from "./_local-server.ts";
import { loginToken, onPostgres, rawRequest } from "./_server.ts";
import { RefusedError, TerminalClient } from "./_terminal-client.ts";

class Desk {
  readonly system: LocalSystem;
  readonly key: string;
  readonly workspace: string;

  constructor(system: LocalSystem, key: string, workspace: string) {
    this.system = system;
    this.key = key;
    this.workspace = workspace;
  }

  /** An account with a workspace that has no sandbox yet. */
  static async at(system: LocalSystem, name = `a-${Math.random().toString(36).slice(2)}`): Promise<Desk> {
    const { apiKey } = await system.server.account(name);
    const body = { name: "place" };
    const { body: made } = await request(system.server, apiKey, { method: "POST", path: "/v1/workspaces", body });
    return new Desk(system, apiKey, made.id as string);
  }

  path(rest = ""): string {
    return `/v1/workspaces/${this.workspace}/terminals${rest}`;
  }

  call(method: string, rest = "", body?: object) {
    return request(this.system.server, this.key, { method, path: this.path(rest), body });
  }

  async create(size: object = {}): Promise<Terminal> {
    const { status, body } = await this.call("POST", "", size);
    expect(status, JSON.stringify(body)).toBe(201);
    return body as Terminal;
  }

  async list(): Promise<Terminal[]> {
    return (await this.call("GET")).body.data as Terminal[];
  }

  async attach(
    { id }: Terminal,
    { query = "", headers = { "x-api-key": this.key } as Record<string, string>, sent = 0 } = {},
  ): Promise<TerminalClient> {
    return await TerminalClient.attach(this.system.server.url, this.path(`/${id}/attach${query}`), { headers, sent });
  }

  async refused(terminal: Terminal, headers: Record<string, string>, query = ""): Promise<[number, unknown]> {
    const error = await this.attach(terminal, { headers, query }).then(
      () => undefined,
      (caught: unknown) => caught,
    );
    if (!(error instanceof RefusedError)) throw new Error("it was not refused", { cause: error });
    return [error.status, error.body.code];
  }
}

test("a workspace without a sandbox gets one; a terminal is typed in, resized, listed and ends with a code", async () => {
  await using system = await localSystem();
  let steps = 0;
  system.sandboxes.before.permissions = async () => {
    steps++;
  };
  const desk = await Desk.at(system);
  expect(await desk.list()).toEqual([]);
  expect(system.sandboxes.sandboxes).toHaveLength(0);
  const terminal = await desk.create({ rows: 30, cols: 90 });
  expect([system.sandboxes.sandboxes.length, steps]).toEqual([1, 1]);
  expect(terminal).toMatchObject({ workspace_id: desk.workspace, rows: 30, cols: 90, state: "running" });
  using client = await desk.attach(terminal);
  await client.say("stty size", "30 90");
  client.resize(40, 100);
  await client.say("stty size", "40 100");
  const resized = await desk.call("POST", `/${terminal.id}/resize`, { rows: 41, cols: 101 });
  expect(resized).toMatchObject({ status: 200, body: { rows: 41, cols: 101 } });
  await client.say("stty size", "41 101");
  await client.say("sleep 1000 & echo star''ted", "started");
  expect(await desk.list()).toMatchObject([{ id: terminal.id, is_busy: true, state: "running" }]);
  await client.say("kill %1; wait; echo o''ver", "over");
  client.type("exit 5\r");
  expect(await client.end()).toMatchObject({ code: 1000 });
  expect([client.exit, client.gaps]).toEqual([{ code: 5 }, 0]);
  expect(await desk.list()).toMatchObject([{ state: "ended", exit_code: 5 }]);
  // Who comes late reads how it ended.
  using late = await desk.attach(terminal);
  await late.end();
  expect(late.exit).toEqual({ code: 5 });
  expect(late.output.equals(client.output)).toBe(true);
  expect(await desk.call("DELETE", `/${terminal.id}`)).toMatchObject({ status: 200, body: { deleted: true } });
  expect(await desk.list()).toEqual([]);
  expect(await desk.call("DELETE", `/${terminal.id}`)).toMatchObject({ status: 404 });
});

test("only who may attaches: keys of the account, and its page", async () => {
  await using system = await localSystem();
  const desk = await Desk.at(system);
  const terminal = await desk.create();
  const stranger = await Desk.at(system);
  expect(await desk.refused(terminal, {})).toEqual([401, "key_missing"]);
  expect(await desk.refused(terminal, { "x-api-key": "wrong" })).toEqual([401, "key_wrong"]);
  expect(await desk.refused(terminal, { "x-api-key": stranger.key })).toEqual([404, "workspace_not_found"]);
  const elsewhere = { "x-api-key": desk.key, origin: "http://elsewhere.example" };
  expect(await desk.refused(terminal, elsewhere)).toEqual([403, "origin_refused"]);
  expect(await desk.refused(terminal, { "x-api-key": desk.key, host: "elsewhere.example" })).toEqual([
    403,
    "host_refused",
  ]);
  expect(await desk.refused({ ...terminal, id: "term_0" }, { "x-api-key": desk.key })).toEqual([
    404,
    "terminal_not_found",
  ]);
  expect(await desk.refused(terminal, { "x-api-key": desk.key }, "?offset=x")).toEqual([400, "request_invalid"]);
  // Without asking for a WebSocket.
  expect(await desk.call("GET", `/${terminal.id}/attach`)).toMatchObject({ status: 426 });
  const { body: second } = await request(system.server, desk.key, {
    method: "POST",
    path: "/v1/api_keys",
    body: { name: "second" },
  });
  using mine = await desk.attach(terminal);
  using other = await desk.attach(terminal, { headers: { "x-api-key": second.api_key as string } });
  await other.say("echo from''other", "fromother");
  await mine.waitFor("fromother");
  await request(system.server, desk.key, {
    method: "DELETE",
    path: `/v1/api_keys/${String(second.id)}`,
    body: undefined,
  });
  expect(await other.end()).toMatchObject({ code: 1008 });
  await mine.say("echo st''ill", "still");
});

test("what is no WebSocket is not made one, and another protocol is not asked for", async () => {
  await using system = await localSystem();
  const desk = await Desk.at(system);
  const { url } = system.server;
  const ask = async (path: string, key = desk.key) => {
    const error = await TerminalClient.attach(url, path, { headers: { "x-api-key": key } }).then(
      () => undefined,
      (caught: unknown) => caught,
    );
    return error instanceof RefusedError ? [error.status, error.body.code] : error;
  };
  expect(await ask("/v1/workspaces")).toEqual([400, "websocket_refused"]);
  expect(await ask("/health")).toEqual([400, "websocket_refused"]);
  expect(await ask("/v1/workspaces", "wrong")).toEqual([401, "key_wrong"]);
  expect(await ask("/v1/nothing")).toEqual([404, "route_not_found"]);
  const session = await system.session();
  const stream = system.path(session, "events/stream");
  // In the shape of the official API, which has its code elsewhere.
  expect(await ask(stream.path, stream.key)).toEqual([400, undefined]);
  const host = `Host: ${new URL(url).host}`;
  const other = await rawRequest(url, [`GET /health HTTP/1.1`, host, "Upgrade: h2c", "Connection: Upgrade, close"]);
  expect(other.status).toBe(200);
});

test("a browser's cookie opens a terminal for our own page alone", async () => {
  await using system = await localSystem();
  const { url } = system.server;
  const login = await fetch(`${url}/v1/login`, {
    method: "POST",
    headers: { "content-type": "application/json", origin: url },
    body: JSON.stringify({ token: loginToken() }),
  });
  const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
  const asPage = async (method: string, path: string, body?: object) => {
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: { cookie, origin: url, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return (await answer.json()) as Record<string, unknown>;
  };
  const { id } = await asPage("POST", "/v1/workspaces", { name: "place" });
  const desk = new Desk(system, "", id as string);
  const terminal = (await asPage("POST", desk.path(), {})) as Terminal;
  expect(await desk.refused(terminal, { cookie })).toEqual([403, "origin_refused"]);
  expect(await desk.refused(terminal, { cookie, origin: "http://127.0.0.1:1" })).toEqual([403, "origin_refused"]);
  const site = { cookie, origin: url, "sec-fetch-site": "cross-site" };
  expect(await desk.refused(terminal, site)).toEqual([403, "origin_refused"]);
  using client = await desk.attach(terminal, { headers: { cookie, origin: url } });
  await client.say("echo he''re", "here");
});

test("what a client says wrong ends its connection in words, and no other", async () => {
  await using system = await localSystem();
  const desk = await Desk.at(system);
  const terminal = await desk.create();
  using good = await desk.attach(terminal);
  const wrong: [string | Uint8Array, string][] = [
    ["no json", "request_malformed"],
    ['{"type":"dance"}', "request_invalid"],
    ['{"type":"resize","rows":0,"cols":1}', "request_invalid"],
    [new Uint8Array(3), "request_invalid"],
  ];
  for (const [message, code] of wrong) {
    using bad = await desk.attach(terminal);
    bad.socket.send(message);
    expect(await bad.end()).toMatchObject({ code: 1008, reason: code });
    expect(bad.error).toMatchObject({ code, remedy: expect.stringMatching(/\S/) });
  }
  using gap = await desk.attach(terminal, { query: "?writer=gap" });
  gap.type("a");
  await gap.until("it is typed", () => gap.typed === 1);
  gap.type("b", 5);
  await gap.end();
  expect(gap.error).toMatchObject({ code: "request_invalid" });
  using large = await desk.attach(terminal);
  large.type("x".repeat(70_000));
  expect(await large.end()).toMatchObject({ code: 1009 });
  await good.say("\u0015echo st''ill", "still");
});

test("a ninth terminal, one in a sandbox of before, and one that cannot be made are refused in words", async () => {
  await using system = await localSystem();
  const desk = await Desk.at(system);
  for (let n = 0; n < 8; n++) await desk.create();
  expect(await desk.call("POST", "", {})).toMatchObject({
    status: 409,
    body: { code: "too_many_terminals", detail: "8 terminals run already" },
  });
  const guest = join(system.sandboxes.last.folder, "guest.mjs");
  const code = readFileSync(guest, "utf8");
  writeFileSync(guest, "process.exit(64)");
  expect(await desk.call("POST", "", {})).toMatchObject({ status: 409, body: { code: "terminals_unsupported" } });
  writeFileSync(guest, 'console.error("no luck"); process.exit(3)');
  expect(await desk.call("POST", "", {})).toMatchObject({
    status: 502,
    body: { code: "terminal_failed", detail: "exit code 3: no luck" },
  });
  writeFileSync(guest, code);
});

test("another server of the installation carries a terminal as well, and has one made by whose workspace it is", async () => {
  await using system = await localSystem();
  const desk = await Desk.at(system);
  await using other = await system.beside();
  const terminal = await desk.create();
  using far = await TerminalClient.attach(other.url, desk.path(`/${terminal.id}/attach`), {
    headers: { "x-api-key": desk.key },
  });
  using near = await desk.attach(terminal);
  await far.say("echo fa''r", "far");
  await near.waitFor("far");
  expect(system.sandboxes.sandboxes).toHaveLength(1);
  // On SQLite there is one server, which nobody asks for anything.
  if (!onPostgres()) return;
  const second = await request(other, desk.key, { method: "POST", path: desk.path(), body: {} });
  expect(second).toMatchObject({ status: 201, body: { sandbox_id: terminal.sandbox_id } });
  expect(await desk.list()).toHaveLength(2);
  expect(system.sandboxes.sandboxes).toHaveLength(1);
});

test("sixteen may be attached in a workspace, and no more", async () => {
  await using system = await localSystem();
  const desk = await Desk.at(system);
  const terminal = await desk.create();
  using stack = new DisposableStack();
  for (let n = 0; n < 16; n++) stack.use(await desk.attach(terminal));
  expect(await desk.refused(terminal, { "x-api-key": desk.key })).toEqual([409, "too_many_attached"]);
  stack.dispose();
  await expect
    .poll(async () => {
      using client = await desk.attach(terminal).catch(() => undefined);
      return client !== undefined;
    })
    .toBe(true);
});

test("the guest is killed while nobody looks: who attaches finds the terminal again", async () => {
  await using system = await localSystem();
  const desk = await Desk.at(system);
  const terminal = await desk.create();
  const before = await desk.attach(terminal);
  const shell = /pid (\d+)/.exec(await before.say("echo pid $$", /pid \d+/))?.[1];
  before.socket.terminate();
  system.sandboxes.last.killGuest();
  using after = await desk.attach(terminal);
  await after.say("echo same $$", `same ${shell}`);
});

test("the sandbox ends: who is attached is told, and the next terminal is in another one", async () => {
  await using system = await localSystem();
  const desk = await Desk.at(system);
  const terminal = await desk.create();
  using client = await desk.attach(terminal);
  await system.sandboxes.last.end();
  await client.end();
  // The connection to the guest may break first: who comes again is told.
  if (client.error === undefined) expect(client.closed).toMatchObject({ code: 1012 });
  else expect(client.error).toMatchObject({ code: "sandbox_ended" });
  await expect.poll(() => desk.list()).toEqual([]);
  expect(await desk.refused(terminal, { "x-api-key": desk.key })).toEqual([404, "terminal_not_found"]);
  await desk.create();
  expect(system.sandboxes.sandboxes).toHaveLength(2);
});

test("a program in a terminal keeps the sandbox when nobody is attached; a shell at its prompt does not", async () => {
  await using system = await localSystem({ sandbox: { idleSandboxMs: 100 } });
  const desk = await Desk.at(system);
  const terminal = await desk.create();
  const client = await desk.attach(terminal);
  const sandbox = system.sandboxes.last;
  const file = join(sandbox.folder, "done");
  // Twenty times longer than a sandbox may be idle.
  await client.say(
    `sh -c 'n=0; while [ $n -lt 40 ]; do sleep 0.05; n=$((n+1)); done; echo done > ${file}' & echo o''n`,
    "on",
  );
  client.socket.terminate();
  await expect.poll(() => sandbox.isRunning, { timeout: 20_000 }).toBe(false);
  expect(existsSync(file)).toBe(true);
});

test("a client that takes nothing holds up its own terminal alone, and is let go of", async () => {
  await using system = await localSystem({ heartbeatMs: 200 });
  const desk = await Desk.at(system);
  const [stuck, free] = [await desk.create(), await desk.create()];
  using client = await desk.attach(stuck);
  const total = 40_000_000;
  client.type(`stty -onlcr -echo; yes 0123456789abcde | head -c ${total}; printf 'the %s' end\r`);
  client.socket.pause();
  using other = await desk.attach(free);
  await other.say("echo fr''ee", "free");
  // Its pings are not answered: it is ended, and the program goes on to its end.
  await expect.poll(async () => (await desk.list())[0]?.output.end ?? 0, { timeout: 30_000 }).toBeGreaterThan(total);
  using again = await desk.attach(stuck);
  expect(again.from).toBeGreaterThan(total - 3_000_000);
  await again.waitFor("the end");
  expect(again.gaps).toBe(0);
});

/** Numbers that look random and are the same in each run. */
function* dice(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state >>> 8;
  }
}

test.each([1, 2, 3])(
  "cut anywhere and attached again by offset, nothing is lost and nothing comes twice (%i)",
  async (seed) => {
    await using system = await localSystem();
    const desk = await Desk.at(system);
    const terminal = await desk.create();
    const roll = dice(seed);
    const cuts: (() => Promise<void> | void)[] = [
      () => undefined,
      () => {
        system.sandboxes.last.cutLinks();
      },
      () => system.restart(),
      () => system.sandboxes.last.killGuest(),
    ];
    const lines = Array.from({ length: 60 }, (_, n) => `echo $((${n}+1000)) ${"x".repeat(roll.next().value % 200)}\r`);
    const input = Buffer.from(`PS1= ; stty -echo\r${lines.join("")}exit 3\r`);
    let output = Buffer.alloc(0);
    let typed = 0;
    let ended: { code: number | null } | undefined;
    for (let round = 0; ended === undefined; round++) {
      using client = await desk.attach(terminal, { query: `?offset=${output.length}&writer=me`, sent: typed });
      expect(client.from).toBe(output.length);
      // What was not confirmed is sent again; how much there was in the terminal already is not known here.
      for (let at = typed; at < input.length; ) {
        const size = 1 + (roll.next().value % 400);
        client.type(input.subarray(at, at + size), at);
        at += size;
        if (round < 12 && roll.next().value % 3 === 0) break;
      }
      const wanted = roll.next().value % 300;
      if (round < 12) await client.until("some of it", () => client.output.length >= wanted || client.typed > typed);
      else await client.until("the end", () => client.exit);
      if (round < 12) await cuts[roll.next().value % cuts.length]?.();
      client.socket.terminate();
      expect(client.gaps).toBe(0);
      output = Buffer.concat([output, client.output]);
      typed = Math.max(typed, client.typed);
      ended = client.exit;
    }
    expect(ended).toEqual({ code: 3 });
    const said = output.toString().replaceAll("\r", "");
    const numbers = [...said.matchAll(/^(1\d{3})(?: x*)?$/gm)].map((match) => Number(match[1]));
    expect(numbers).toEqual(lines.map((_, n) => n + 1000));
  },
  120_000,
);
