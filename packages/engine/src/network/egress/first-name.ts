import type { Socket } from "node:net";
import { normaliseHost } from "./domains.ts";

/** More than any real ClientHello or request head that is worth waiting for. */
const maxHeadBytes = 32_768;

export type NameSearch =
  /** Not enough bytes yet. */
  { found: "more" } | { found: "name"; name: string } | { found: "nothing" };

const nothing: NameSearch = { found: "nothing" };
const more: NameSearch = { found: "more" };

function named(raw: string): NameSearch {
  const name = normaliseHost(raw);
  return name === undefined ? nothing : { found: "name", name };
}

/** The server's name in the first bytes of a connection: TLS SNI or HTTP/1 Host. */
export function findName(head: Buffer): NameSearch {
  if (head.length === 0) return more;
  return head[0] === 22 ? findServerName(head) : findHostHeader(head);
}

/** The bytes of the ClientHello, put together from as many TLS records as it takes. */
function helloBytes(head: Buffer): Buffer | "more" | undefined {
  const parts: Buffer[] = [];
  let length = 0;
  let wanted = 4;
  for (let at = 0; length < wanted; ) {
    if (head.length < at + 5) return "more";
    if (head[at] !== 22) return undefined;
    const size = head.readUInt16BE(at + 3);
    if (size === 0 || size > 16_640) return undefined;
    if (head.length < at + 5 + size) return "more";
    parts.push(head.subarray(at + 5, at + 5 + size));
    length += size;
    at += 5 + size;
    const start = Buffer.concat(parts);
    if (start[0] !== 1) return undefined;
    if (length >= 4) wanted = 4 + start.readUIntBE(1, 3);
  }
  return Buffer.concat(parts).subarray(4, wanted);
}

function findServerName(head: Buffer): NameSearch {
  const hello = helloBytes(head);
  if (hello === "more") return more;
  if (hello === undefined) return nothing;
  try {
    let at = 34;
    at += 1 + hello.readUInt8(at);
    at += 2 + hello.readUInt16BE(at);
    at += 1 + hello.readUInt8(at);
    const end = at + 2 + hello.readUInt16BE(at);
    for (at += 2; at < end; ) {
      const type = hello.readUInt16BE(at);
      const size = hello.readUInt16BE(at + 2);
      if (type === 0) return readServerName(hello.subarray(at + 4, at + 4 + size));
      at += 4 + size;
    }
    return nothing;
  } catch {
    // A length that points outside: no ClientHello that we could trust.
    return nothing;
  }
}

function readServerName(extension: Buffer): NameSearch {
  if (extension.readUInt8(2) !== 0) return nothing;
  const size = extension.readUInt16BE(3);
  if (extension.length < 5 + size) return nothing;
  return named(extension.toString("latin1", 5, 5 + size));
}

function findHostHeader(head: Buffer): NameSearch {
  const text = head.toString("latin1");
  if (!/^[A-Z]{1,20}($| )/.test(text)) return nothing;
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return more;
  const [request = "", ...lines] = text.slice(0, end).split("\r\n");
  if (!/^[A-Z]+ \S+ HTTP\/1\.[01]$/.test(request)) return nothing;
  const hosts = lines.filter((line) => /^host:/i.test(line));
  // Two of them mean that we and the server may read different ones.
  if (hosts.length !== 1) return nothing;
  return named(
    `${hosts[0]}`
      .slice(5)
      .trim()
      .replace(/:\d{1,5}$/, ""),
  );
}

/** Waits for the client's first bytes. `head` is what was read and must be passed on; the socket is left paused. */
export async function readFirstName(
  socket: Socket,
  options: { signal: AbortSignal },
): Promise<{ name: string | undefined; head: Buffer }> {
  const { signal } = options;
  return await new Promise((resolve) => {
    let head = Buffer.alloc(0);
    const finish = (name: string | undefined) => {
      socket.off("data", onData).off("end", onEnd).off("close", onEnd);
      signal.removeEventListener("abort", onEnd);
      socket.pause();
      resolve({ name, head });
    };
    const onEnd = () => finish(undefined);
    const onData = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk]);
      const search = findName(head);
      if (search.found === "name") finish(search.name);
      else if (search.found === "nothing" || head.length > maxHeadBytes) finish(undefined);
    };
    if (signal.aborted) return onEnd();
    signal.addEventListener("abort", onEnd);
    socket.on("data", onData).on("end", onEnd).on("close", onEnd).resume();
  });
}
