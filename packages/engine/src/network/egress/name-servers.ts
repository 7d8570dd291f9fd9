import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { connect, isIP } from "node:net";
import { answers } from "./dns-message.ts";
import { readMessages, writeMessage } from "./dns-stream.ts";

const attemptMs = 3_000;
/** How long a reading of resolv.conf is good for. */
const freshMs = 5_000;

export function parseNameServers(resolvConf: string): string[] {
  return resolvConf
    .split("\n")
    .flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? [])
    .filter((server) => isIP(server.replace(/%.*$/, "")) !== 0)
    .slice(0, 3);
}

/** The host's own name servers, asked from the host's network namespace. */
export interface NameServers {
  /** The response to a query as it came, or undefined when no server answered. */
  forward(query: Buffer, transport: "udp" | "tcp", signal?: AbortSignal): Promise<Buffer | undefined>;
  /** IPv4 addresses of a name; empty when it has none or nobody answered. */
  lookup(name: string, signal: AbortSignal): Promise<string[]>;
}

export function createNameServers(path: () => string): NameServers {
  let servers: string[] = [];
  let readAtMs = Number.NEGATIVE_INFINITY;
  const current = () => {
    if (performance.now() - readAtMs > freshMs) {
      readAtMs = performance.now();
      try {
        servers = parseNameServers(readFileSync(path(), "utf8"));
      } catch {
        // A host without the file has no name servers: names then fail to resolve, which the asker is told.
        servers = [];
      }
    }
    return servers;
  };
  return {
    async forward(query, transport, signal) {
      // An id of our own: whoever guesses answers must guess ours, not one that a sandbox chose.
      const asked = Buffer.from(query);
      asked.writeUInt16BE(randomInt(0x10000), 0);
      for (const server of current()) {
        if (signal?.aborted) return undefined;
        const timeout = AbortSignal.timeout(attemptMs);
        const limit = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
        const response = await (transport === "udp" ? askByUdp : askByTcp)(server, asked, limit);
        if (response === undefined) continue;
        response.writeUInt16BE(query.readUInt16BE(0), 0);
        return response;
      }
      return undefined;
    },
    async lookup(name, signal) {
      const resolver = new Resolver({ timeout: attemptMs, tries: 2 });
      const cancel = () => resolver.cancel();
      try {
        resolver.setServers(current());
        signal.addEventListener("abort", cancel);
        return await resolver.resolve4(name);
      } catch {
        // No such name, no answer, cancelled: for the caller all of them mean that there is nowhere to go.
        return [];
      } finally {
        signal.removeEventListener("abort", cancel);
      }
    },
  };
}

async function askByUdp(server: string, query: Buffer, signal: AbortSignal): Promise<Buffer | undefined> {
  const socket = createSocket(server.includes(":") ? "udp6" : "udp4");
  try {
    return await new Promise<Buffer | undefined>((resolve) => {
      const giveUp = () => resolve(undefined);
      signal.addEventListener("abort", giveUp, { once: true });
      socket.on("error", giveUp);
      socket.on("message", (message) => {
        if (answers(message, query)) resolve(message);
      });
      // A connected socket takes answers from this server only.
      socket.connect(53, server, () => socket.send(query));
    });
  } finally {
    socket.close();
  }
}

async function askByTcp(server: string, query: Buffer, signal: AbortSignal): Promise<Buffer | undefined> {
  const socket = connect({ host: server, port: 53 });
  try {
    return await new Promise<Buffer | undefined>((resolve) => {
      const giveUp = () => resolve(undefined);
      signal.addEventListener("abort", giveUp, { once: true });
      socket.on("error", giveUp).on("close", giveUp);
      readMessages(socket, (message) => {
        if (answers(message, query)) resolve(message);
      });
      socket.on("connect", () => writeMessage(socket, query));
    });
  } finally {
    socket.destroy();
  }
}
