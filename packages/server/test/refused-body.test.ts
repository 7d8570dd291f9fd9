import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestServer, testServer } from "./_server.ts";

/**
 * Connections are shared: a proxy sends the requests of many over one. What one of them had refused must not break it
 * under the next one's.
 */
let it: TestServer;
let key: string;
beforeAll(async () => {
  it = await testServer();
  ({ apiKey: key } = await it.account("tester"));
});
afterAll(() => it?.[Symbol.asyncDispose]());

class Connection implements Disposable {
  readonly #socket: Socket;
  readonly #closed: Promise<unknown>;
  #text = "";

  constructor() {
    const { hostname, port } = new URL(it.url);
    this.#socket = connect(Number(port), hostname);
    this.#socket.on("data", (chunk) => {
      this.#text += String(chunk);
    });
    // Cut or closed: the assertions tell.
    this.#socket.on("error", () => undefined);
    this.#closed = once(this.#socket, "close");
  }

  head(path: string, headers: readonly string[]): void {
    const lines = [`POST ${path} HTTP/1.1`, `Host: ${new URL(it.url).host}`, ...headers, "", ""];
    this.#socket.write(lines.join("\r\n"));
  }

  send(body: string): void {
    this.#socket.write(body);
  }

  /** Of the answers so far, in their order. */
  get statuses(): number[] {
    return [...this.#text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
  }

  get text(): string {
    return this.#text.toLowerCase();
  }

  get closed(): Promise<unknown> {
    return this.#closed;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

const large = `{"unknown":"${"x".repeat(4_000_000)}"}`;
const asTester = () => [`x-api-key: ${key}`, "content-type: application/json"];
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

test.each([
  ["its length alone is too much", "/v1/agents", 413, large.length],
  ["a part of it is too much", "/v1/agents", 413, undefined],
  ["there is no key", "/v1/nothing", 401, large.length],
])(
  "a body that is refused as %s, and sent to its end, leaves its connection whole",
  async (_why, path, status, length) => {
    using connection = new Connection();
    const who = status === 401 ? ["content-type: application/json"] : asTester();
    connection.head(path, [...who, length === undefined ? "transfer-encoding: chunked" : `content-length: ${length}`]);
    if (length === undefined) {
      for (let at = 0; at < large.length; at += 100_000) connection.send(chunk(large.slice(at, at + 100_000)));
      connection.send("0\r\n\r\n");
    } else connection.send(large);
    await expect.poll(() => connection.statuses).toEqual([status]);
    expect(connection.text).not.toContain("connection: close");
    // Longer than a server waits that is about to cut it.
    const until = performance.now() + 700;
    await expect.poll(() => performance.now(), { interval: 100 }).toBeGreaterThan(until);
    connection.head("/v1/sessions", [...asTester(), "content-length: 2"]);
    connection.send("{}");
    await expect.poll(() => connection.statuses).toEqual([status, 200]);
  },
);

test.each([
  ["its length alone is too much", 413, "content-length: 9000000"],
  ["a part of it is too much", 413, "transfer-encoding: chunked"],
])(
  "a body that is refused as %s, and goes on, is answered, and the answer says that the connection ends",
  async (_why, status, length) => {
    using connection = new Connection();
    connection.head("/v1/agents", [...asTester(), length]);
    connection.send(length.startsWith("transfer") ? chunk(large) : large);
    await expect.poll(() => connection.statuses).toEqual([status]);
    expect(connection.text).toContain("connection: close");
    await connection.closed;
  },
);
