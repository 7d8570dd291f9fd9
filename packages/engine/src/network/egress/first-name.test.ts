import { once } from "node:events";
import { createServer } from "node:net";
import { connect } from "node:tls";
import { expect, test } from "vitest";
import { findName } from "./first-name.ts";

/** What a real TLS client says first. */
async function clientHello(servername: string): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection");
  const { port } = server.address() as { port: number };
  const client = connect({ host: "127.0.0.1", port, ...(servername === "" ? {} : { servername }) });
  client.on("error", () => {});
  const [socket] = await accepted;
  const [hello] = await once(socket, "data");
  client.destroy();
  socket.destroy();
  server.close();
  return hello;
}

/** The same message in many small records. */
function inRecords(hello: Buffer, size: number): Buffer {
  const body = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
  }
  return Buffer.concat(records);
}

test("finds the server name of a real ClientHello, whole, cut anywhere, or in small records", async () => {
  const hello = await clientHello("api.example.com");
  expect(findName(hello)).toEqual({ found: "name", name: "api.example.com" });
  for (let length = 0; length < hello.length; length += 7) {
    expect(findName(hello.subarray(0, length))).toEqual({ found: "more" });
  }
  expect(findName(inRecords(hello, 3))).toEqual({ found: "name", name: "api.example.com" });
});

test("finds no name in a ClientHello without one, and survives damaged ones", async () => {
  expect(findName(await clientHello(""))).toEqual({ found: "nothing" });
  const hello = await clientHello("api.example.com");
  for (let at = 5; at < hello.length; at += 1) {
    const damaged = Buffer.from(hello);
    damaged[at] = 255 - Number(damaged[at]);
    expect(["more", "name", "nothing"]).toContain(findName(damaged).found);
  }
});

test.each([
  ["GET / HTTP/1.1\r\nHost: Example.com\r\n\r\n", "example.com"],
  ["POST /x HTTP/1.0\r\nA: b\r\nhost:example.com:8080\r\n\r\nbody", "example.com"],
])("finds the host of %j", (head, name) => {
  expect(findName(Buffer.from(head))).toEqual({ found: "name", name });
});

test.each([
  "GET / HTTP/1.1\r\nHost: a.com\r\nHost: b.com\r\n\r\n",
  "GET / HTTP/1.1\r\nX: y\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: 1.2.3.4\r\n\r\n",
  "GET /a b HTTP/1.1\r\nHost: a.com\r\n\r\n",
  "SSH-2.0-OpenSSH\r\n",
  "\0\0\0",
])("finds nothing in %j", (head) => {
  expect(findName(Buffer.from(head))).toEqual({ found: "nothing" });
});

test("asks for more while a head is not over", () => {
  for (const head of ["", "G", "GET / HTTP/1.1\r\nHost: a.com\r\n"]) {
    expect(findName(Buffer.from(head))).toEqual({ found: "more" });
  }
});
