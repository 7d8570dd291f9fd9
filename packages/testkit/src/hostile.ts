import { Agent, request } from "node:http";
import { connect } from "node:net";

export { idleDelayMs, startWatched, type WatchedProcess } from "./watched-process.ts";

export interface Hostile {
  what: string;
  body: Uint8Array;
}

const bytes = (text: string) => Buffer.from(text);
const numbered = (count: number, make: (index: number) => string) =>
  Array.from({ length: count }, (_, i) => make(i)).join(",");

/** Bodies that no route may take: what was found to stall a server, and their relatives. */
export function hostileBodies(): Hostile[] {
  const deep = 100_000;
  return [
    { what: "300 000 unknown fields", body: bytes(`{${numbered(300_000, (i) => `"k${i}":1`)}}`) },
    { what: "5 000 unknown fields", body: bytes(`{${numbered(5_000, (i) => `"k${i}":1`)}}`) },
    { what: "150 unknown fields", body: bytes(`{${numbered(150, (i) => `"unknown${i}":1`)}}`) },
    {
      what: "150 unknown fields with long names",
      body: bytes(`{${numbered(150, (i) => `"${"n".repeat(300)}${i}":1`)}}`),
    },
    { what: "a list of 1 000 000 items", body: bytes(`{"unknown":[${numbered(1_000_000, () => "1")}]}`) },
    { what: "300 000 metadata keys", body: bytes(`{"metadata":{${numbered(300_000, (i) => `"k${i}":"v"`)}}}`) },
    { what: "100 000 lists in one another", body: bytes(`{"unknown":${"[".repeat(deep)}${"]".repeat(deep)}}`) },
    { what: "100 000 objects in one another", body: bytes(`{"unknown":${'{"a":'.repeat(deep)}1${"}".repeat(deep)}}`) },
    { what: "100 000 lists that are never closed", body: bytes(`{"unknown":${"[".repeat(deep)}`) },
    { what: "an unknown text of 4 MB", body: bytes(`{"unknown":"${"x".repeat(4_000_000)}"}`) },
    { what: "an unknown text of 60 KB of escapes", body: bytes(`{"unknown":"${'\\"'.repeat(30_000)}"}`) },
    { what: "30 MB", body: Buffer.alloc(30_000_000, 0x20) },
    { what: "a list", body: bytes("[1]") },
    { what: "no JSON", body: bytes("{") },
    { what: "bytes that are no UTF-8", body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) },
    { what: "__proto__", body: bytes('{"__proto__":{"name":"x"}}') },
    { what: "constructor", body: bytes('{"constructor":{"prototype":{"name":"x"}}}') },
  ];
}

/** Every field of a route filled with what cannot be meant. `room`: how many values still pass what counts them. */
export function hostileFields(names: readonly string[], room: { values: number; bytes: number }): Hostile[] {
  const wide = `{${numbered(Math.min(room.values, 4_500), (i) => `"k${i}":1`)}}`;
  const list = `[${numbered(room.values, () => "1")}]`;
  const objects = `[${numbered(Math.floor(room.values / 2), () => "{}")}]`;
  const long = `"${"é".repeat(Math.floor(room.bytes / 2))}"`;
  const fills = { wide, list, objects, long, number: "7", deep: "[[[[[[[]]]]]]]", proto: '{"__proto__":1}' };
  return names.flatMap((name) =>
    Object.entries(fills).map(([what, text]) => ({ what: `${name}: ${what}`, body: bytes(`{"${name}":${text}}`) })),
  );
}

/** Queries of up to 15 KB that no route may take. */
export function hostileQueries(): { what: string; query: string }[] {
  return [
    { what: "an unknown parameter", query: "unknown=1" },
    { what: "3 000 unknown parameters", query: numbered(3_000, (i) => `${i.toString(36)}=`).replaceAll(",", "&") },
    { what: "a name of 15 KB of brackets and a newline", query: `${"[".repeat(15_000)}%0A=1` },
    { what: "__proto__", query: "__proto__=1&constructor=1&__proto__[a]=1" },
  ];
}

export interface Answered {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

/** One request; the answer counts also where the server does not take the rest of the body. */
export async function send(
  url: string,
  ask: { method: string; headers?: Record<string, string>; body?: Uint8Array; chunked?: boolean },
): Promise<Answered> {
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  const { method, body, chunked = false } = ask;
  // As browsers and SDKs do it: a server that is asked to close may close on what it has not read.
  const agent = new Agent({ keepAlive: true });
  const length: Record<string, string> = chunked
    ? { "transfer-encoding": "chunked" }
    : { "content-length": String(body?.length ?? 0) };
  const sending = request(url, { method, headers: { ...ask.headers, ...length }, agent }, (answer) => {
    let text = "";
    answer.setEncoding("utf8");
    answer.on("data", (chunk: string) => {
      text += chunk;
    });
    const done = () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text });
    answer.once("end", done);
    answer.once("error", done);
  });
  sending.on("error", reject);
  sending.end(body);
  try {
    return await promise;
  } finally {
    agent.destroy();
  }
}

/** The status of a request whose first line is written by hand. */
export async function statusOfLine(url: string, line: string, headers: readonly string[] = []): Promise<number> {
  const { hostname, port, host } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write([line, `Host: ${host}`, ...headers, "Connection: close", "", ""].join("\r\n"));
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return Number(text.slice(9, 12));
}
