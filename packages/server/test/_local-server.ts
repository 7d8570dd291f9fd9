import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { EventOf, SessionEvent, SessionEventType } from "@holdfast/protocol";
import type { ServerOptionsInput, StartExtras } from "@holdfast/server";
import { LocalSandboxes } from "./_local-sandbox.ts";
import { type TestServer, testServer } from "./_server.ts";

/** A real server, database and guest; sandboxes of this machine, Claude in the hands of the test. */
export interface LocalSystem extends AsyncDisposable {
  readonly sandboxes: LocalSandboxes;
  /** What the gateway says of the model: how many requests it answers. */
  readonly live: { calls: number };
  readonly dataDir: string;
  readonly server: TestServer;
  /** A session of the one account, in a workspace of its own unless named. */
  session(workspace?: string, agent?: string): Promise<LocalSession>;
  /** Another server on the same database, in the place of this one, which lets go as SIGTERM has it. */
  restart(options?: Partial<ServerOptionsInput>): Promise<void>;
  /** Until `restart`. */
  stopServer(): Promise<void>;
  /** Changes rows, as another server would have. */
  write(sql: string, ...values: (string | number)[]): void;
  /** A second server on the same database and sandboxes. */
  beside(): Promise<TestServer>;
  /** Below `/v1/sessions/{id}`, with the key that may ask for it: for requests by hand. */
  path(session: LocalSession, name: string): { path: string; key: string };
  /** Rows, read beside the server. */
  rows<T = Record<string, unknown>>(sql: string, ...values: (string | number)[]): T[];
}

export async function localSystem(
  options: Partial<ServerOptionsInput> = {},
  extras: Pick<StartExtras, "leaseTimings" | "clock"> = {},
): Promise<LocalSystem> {
  const stack = new AsyncDisposableStack();
  const dataDir = mkdtempSync(join(tmpdir(), "holdfast-local-"));
  stack.defer(() => rmSync(dataDir, { recursive: true, force: true }));
  const sandboxes = stack.use(await LocalSandboxes.open());
  const live = { calls: 1 };
  const adminUrl = await gatewayAdmin(stack, live);
  const start = (changed: Partial<ServerOptionsInput>) =>
    testServer(
      {
        modal: { serverUrl: "http://127.0.0.1:1", tokenId: "x", tokenSecret: "x", installationId: "local" },
        gateway: { adminUrl, adminToken: "x", tokenSecret: "s".repeat(32) },
        ...options,
        ...changed,
        dataDir,
      },
      { ...extras, provider: sandboxes, guestBundle: "of the test's own" },
    );
  let server = await start({});
  stack.defer(() => server[Symbol.asyncDispose]());
  const { apiKey } = await server.account("tester");
  return {
    sandboxes,
    live,
    dataDir,
    get server() {
      return server;
    },
    async session(workspace = `w-${Math.random().toString(36).slice(2)}`, agent = "agent_default") {
      const call: Call = (method, path, body) => request(server, apiKey, { method, path, body });
      const created = await call("POST", "/v1/sessions", {
        agent,
        environment_id: "env_default",
        metadata: { "holdfast.workspace": workspace },
      });
      return new LocalSession((created.body as { id: string }).id, call);
    },
    stopServer: async () => await server[Symbol.asyncDispose](),
    write(sql, ...values) {
      const db = new DatabaseSync(join(dataDir, "server.sqlite"));
      try {
        db.prepare(sql).run(...values);
      } finally {
        db.close();
      }
    },
    async restart(changed = {}) {
      await server[Symbol.asyncDispose]();
      server = await start(changed);
    },
    beside: () => start({}),
    path: (session, name) => ({ path: `/v1/sessions/${session.id}/${name}`, key: apiKey }),
    rows(sql, ...values) {
      const db = new DatabaseSync(join(dataDir, "server.sqlite"), { readOnly: true });
      try {
        return db.prepare(sql).all(...values) as never;
      } finally {
        db.close();
      }
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

interface Answer {
  status: number;
  body: Record<string, unknown>;
}
type Call = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;

export async function request(
  server: TestServer,
  key: string,
  { method, path, body }: { method: string; path: string; body: unknown },
): Promise<Answer> {
  const response = await server.fetch(path, {
    key,
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>) };
}

export interface SendOptions {
  clientId?: string;
  delivery?: "next" | "now";
}

/** What a client does with one session, over HTTP. */
export class LocalSession {
  readonly id: string;
  readonly call: Call;

  constructor(id: string, call: Call) {
    this.id = id;
    this.call = call;
  }

  /** Gives the event's id. */
  async send(words: string, { clientId, delivery }: SendOptions = {}): Promise<string> {
    const { status, body } = await this.trySend(words, {
      ...(clientId === undefined ? {} : { clientId }),
      ...(delivery === undefined ? {} : { delivery }),
    });
    if (status !== 200) throw new Error(`not sent: ${status} ${JSON.stringify(body)}`);
    const [event] = body.data as SessionEvent[];
    return event?.id ?? "";
  }

  trySend(words: string, { clientId, delivery }: SendOptions = {}): Promise<Answer> {
    const holdfast = {
      ...(clientId === undefined ? {} : { client_id: clientId }),
      ...(delivery === undefined ? {} : { delivery }),
    };
    return this.post({
      type: "user.message",
      content: [{ type: "text", text: words }],
      ...(Object.keys(holdfast).length === 0 ? {} : { holdfast }),
    });
  }

  post(...events: object[]): Promise<Answer> {
    return this.call("POST", `/v1/sessions/${this.id}/events`, { events });
  }

  async interrupt(messageId?: string): Promise<void> {
    const { status, body } = await this.post({
      type: "user.interrupt",
      ...(messageId === undefined ? {} : { holdfast: { message_id: messageId } }),
    });
    if (status !== 200) throw new Error(`not interrupted: ${status} ${JSON.stringify(body)}`);
  }

  async events(): Promise<SessionEvent[]> {
    const all: SessionEvent[] = [];
    for (let page = ""; ; ) {
      const { body } = await this.call("GET", `/v1/sessions/${this.id}/events?limit=1000${page}`);
      all.push(...(body.data as SessionEvent[]));
      if (typeof body.next_page !== "string") return all;
      page = `&page=${encodeURIComponent(body.next_page)}`;
    }
  }

  async eventsOf<T extends SessionEventType>(type: T): Promise<EventOf<T>[]> {
    return (await this.events()).filter((event): event is EventOf<T> => event.type === type);
  }

  async status(): Promise<string> {
    return (await this.call("GET", `/v1/sessions/${this.id}`)).body.status as string;
  }

  /** Waits until the log holds such an event; asks again and again, so that no stream stands between. */
  async until(what: string, matches: (events: SessionEvent[]) => boolean, timeoutMs = 15_000): Promise<SessionEvent[]> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const events = await this.events();
      if (matches(events)) return events;
      if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}; the log: ${outline(events)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Waits for the n-th end of a turn; gives all events so far. */
  idle(turns = 1, timeoutMs?: number): Promise<SessionEvent[]> {
    return this.until(`${turns} ends of a turn`, (events) => endsOf(events).length >= turns, timeoutMs);
  }

  async outcomes(): Promise<string[]> {
    return endsOf(await this.events()).map((event) => event.holdfast?.outcome ?? "");
  }
}

/** Ends of turns; questions, which leave the session idle too, are none. */
export function endsOf(events: SessionEvent[]): EventOf<"session.status_idle">[] {
  return events.filter(
    (event): event is EventOf<"session.status_idle"> =>
      event.type === "session.status_idle" && event.stop_reason.type !== "requires_action",
  );
}

export function outline(events: SessionEvent[]): string {
  return events
    .map((event) => (event.type === "holdfast.step" ? `${event.step}:${event.state}` : event.type))
    .join(" ");
}

/** Says to the server that the scripted model answers; takes what it revokes. */
export async function gatewayAdmin(stack: AsyncDisposableStack, live = { calls: 1 }): Promise<string> {
  const status = { mode: "scripted", credential: { source: null, last4: null } };
  const admin = createServer(({ url }, response) =>
    response
      .setHeader("content-type", "application/json")
      .end(JSON.stringify(url?.startsWith("/admin/live") ? live : status)),
  );
  await new Promise<void>((resolve) => admin.listen(0, "127.0.0.1", resolve));
  stack.defer(() => {
    admin.closeAllConnections();
    admin.close();
  });
  return `http://127.0.0.1:${(admin.address() as AddressInfo).port}`;
}
