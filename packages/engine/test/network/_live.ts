import { createServer, type Server, type Socket } from "node:net";
import { spawnInside } from "./_fake-host.ts";

const client = `
const [host, port] = process.argv.slice(1);
const socket = require("net").connect({ host, port, allowHalfOpen: true });
process.stdin.pipe(socket);
socket.pipe(process.stdout);
socket.on("error", () => {});
socket.on("close", () => process.exit(0));
`;

/** A connection from inside a sandbox that a test speaks over. */
export interface Live extends Disposable {
  say(text: string): void;
  /** Resolves with the next bytes that arrive inside. */
  hear(): Promise<string>;
  /** Ends our direction only. */
  endInput(): void;
  /** Resolves when the connection is over inside. */
  readonly closed: Promise<void>;
}

export function openLive(network: { namespacePath: string }, address: string, options: { dir: string }): Live {
  const child = spawnInside(network, [process.execPath, "-e", client, ...address.split(":")], options);
  const heard: string[] = [];
  let wake: (() => void) | undefined;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    heard.push(text);
    wake?.();
  });
  child.stdin.on("error", () => {});
  child.stderr.resume();
  const closed = new Promise<void>((resolve) => child.on("close", () => resolve()));
  return {
    closed,
    say: (text) => {
      child.stdin.write(text);
    },
    endInput: () => {
      child.stdin.end();
    },
    async hear() {
      while (heard.length === 0) {
        const arrived = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const over = await Promise.race([arrived.then(() => false), closed.then(() => true)]);
        if (over && heard.length === 0) throw new Error("The connection is over.");
      }
      return heard.splice(0).join("");
    },
    [Symbol.dispose]: () => {
      child.kill("SIGKILL");
    },
  };
}

/** Answers every chunk with "echo " and the chunk; at the end of input with "bye", then ends. */
export function echoServer(): Server & { sockets: Set<Socket> } {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (chunk) => socket.write(`echo ${chunk}`));
    socket.on("end", () => socket.end("bye"));
  });
  return Object.assign(server, { sockets });
}
