import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import Anthropic from "@anthropic-ai/sdk";
import { openAccounts, type Server, type ServerOptionsInput, type StartExtras, startServer } from "@holdfast/server";
import { formatLoginLinkToken, loginLinkLifetimeMs, loginLinkPayload } from "@holdfast/std";
import { startPostgres, type TestPostgres } from "@holdfast/testkit/postgres";
import { Client } from "pg";
import { pino } from "pino";
import { afterAll } from "vitest";

export const loginSecret = "a-secret-for-login-links-of-tests";

/** The token of a new login link; each works once. */
export function loginToken(expiresMs: number = Date.now() + loginLinkLifetimeMs, secret = loginSecret): string {
  const link = { nonce: randomBytes(18).toString("base64url"), expiresMs };
  const signature = createHmac("sha256", secret).update(loginLinkPayload(link)).digest("base64url");
  return formatLoginLinkToken({ ...link, signature });
}

export interface TestServer extends AsyncDisposable {
  server: Server;
  url: string;
  dataDir: string;
  /** A new account. */
  account(name: string): Promise<{ id: string; apiKey: string; client: Anthropic }>;
  fetch(path: string, init?: RequestInit & { key?: string }): Promise<Response>;
}

/** With `TEST_DATABASE=postgres` the same tests run on PostgreSQL: one cluster for the file, a database per server. */
export const onPostgres = () => process.env.TEST_DATABASE === "postgres";
let cluster: Promise<TestPostgres> | undefined;
/** A server that starts again in the same directory finds its database again. */
const urls = new Map<string, string>();

afterAll(async () => {
  await (await cluster)?.[Symbol.asyncDispose]();
  cluster = undefined;
});

/** Ends with the file. */
export function testCluster(): Promise<TestPostgres> {
  cluster ??= startPostgres();
  return cluster;
}

/** Where a server with this data directory has its data. */
export async function databaseOf(dataDir: string): Promise<{ dataDir: string; databaseUrl?: string }> {
  if (!onPostgres()) return { dataDir };
  const databaseUrl = urls.get(dataDir) ?? (await (await testCluster()).createDatabase());
  urls.set(dataDir, databaseUrl);
  return { dataDir, databaseUrl };
}

/** Statements beside the server. */
export async function sqlOn(dataDir: string, statements: string): Promise<void> {
  const { databaseUrl } = await databaseOf(dataDir);
  if (databaseUrl === undefined) {
    const db = new DatabaseSync(join(dataDir, "server.sqlite"));
    db.exec(`PRAGMA foreign_keys = off; ${statements}`);
    return db.close();
  }
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query(statements);
  await client.end();
}

/** A real server on a free port with a real database; no engine unless options or extras name one. */
export async function testServer(
  options: Partial<ServerOptionsInput> & { dataDir?: string } = {},
  extras: StartExtras = {},
): Promise<TestServer> {
  const own = options.dataDir === undefined;
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), "holdfast-server-"));
  const database = options.databaseUrl === undefined ? await databaseOf(dataDir) : { databaseUrl: options.databaseUrl };
  const server = await startServer(
    { port: 0, loginSecret, ...options, ...database, dataDir },
    { logger: pino({ level: process.env.TEST_LOG ?? "silent" }, pino.destination(2)), ...extras },
  );
  return {
    server,
    url: server.url,
    dataDir,
    async account(name) {
      await using accounts = await openAccounts({ dataDir, ...database });
      const { id, apiKey } = await accounts.add(name);
      return { id, apiKey, client: new Anthropic({ baseURL: server.url, apiKey, maxRetries: 0 }) };
    },
    fetch(path, { key, ...init } = {}) {
      const headers = new Headers(init.headers);
      if (key !== undefined) headers.set("x-api-key", key);
      return fetch(`${server.url}${path}`, { ...init, headers, redirect: "manual" });
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      if (own) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** A request written by hand: names and headers that `fetch` does not let one choose. */
export async function rawRequest(url: string, lines: string[], body = ""): Promise<{ status: number; text: string }> {
  const { connect } = await import("node:net");
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.end(`${[...lines, "Connection: close"].join("\r\n")}\r\n\r\n${body}`);
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return { status: Number(text.slice(9, 12)), text };
}

export interface Frame {
  event: string;
  id: number | undefined;
  /** Of streams whose ids are no numbers. */
  cursor: string | undefined;
  data: Record<string, unknown>;
}

/** The frames of an SSE response, one after the other. */
export async function* frames(response: Response): AsyncGenerator<Frame> {
  if (response.body === null) throw new Error("no body");
  let text = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let at = text.indexOf("\n\n"); at !== -1; at = text.indexOf("\n\n")) {
      const lines = text.slice(0, at).split("\n");
      text = text.slice(at + 2);
      const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const id = field("id");
      yield {
        event: field("event") ?? "",
        id: id === undefined ? undefined : Number(id),
        cursor: id,
        data: JSON.parse(field("data") ?? "null") as Record<string, unknown>,
      };
    }
  }
}

/** Frames until one matches, that one included. */
export async function until(source: AsyncGenerator<Frame>, matches: (frame: Frame) => boolean): Promise<Frame[]> {
  const seen: Frame[] = [];
  for (let next = await source.next(); !next.done; next = await source.next()) {
    seen.push(next.value);
    if (matches(next.value)) return seen;
  }
  throw new Error(`the stream ended after ${JSON.stringify(seen)}`);
}

export const userMessage = (text: string) => ({
  events: [{ type: "user.message" as const, content: [{ type: "text" as const, text }] }],
});
