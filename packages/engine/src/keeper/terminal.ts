import { rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { ReadStream } from "node:tty";
import { receiveDescriptor } from "./syscalls.ts";

const RECEIVE_ATTEMPTS = 500;
const RECEIVE_PAUSE_MS = 2;

export interface TerminalMaster {
  fd: number;
  stream: ReadStream;
}

export interface TerminalOffer extends AsyncDisposable {
  /** For the runtime's `--console-socket`. */
  path: string;
  /** The master side. Await it only after the runtime has reported success: by then it has connected. */
  received: Promise<TerminalMaster>;
}

/**
 * The runtime makes the terminal inside the sandbox's own devpts and sends us its master side over a Unix socket.
 * No proxy process stays between the two, and a resize is one ioctl.
 */
export async function acceptTerminal(path: string): Promise<TerminalOffer> {
  rmSync(path, { force: true });
  // Paused: the message that carries the descriptor must be read by recvmsg, not by Node.
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  const received = new Promise<TerminalMaster>((resolve, reject) => {
    server.once("connection", (socket) => {
      receive(socket).then(resolve, reject);
    });
    server.once("close", () => reject(new Error("The runtime sent no terminal.")));
  });
  received.catch(() => {
    // Whoever awaits it is told; a runtime that failed before has been reported by its exit code.
  });
  return {
    path,
    received,
    [Symbol.asyncDispose]: async () => {
      server.close();
      rmSync(path, { force: true });
    },
  };
}

async function receive(socket: Socket): Promise<TerminalMaster> {
  try {
    const handle: unknown = Reflect.get(socket, "_handle");
    const socketFd: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : undefined;
    if (typeof socketFd !== "number") throw new Error("This Node does not show a socket's descriptor.");
    for (let attempt = 0; attempt < RECEIVE_ATTEMPTS; attempt++) {
      const fd = receiveDescriptor(socketFd);
      if (fd !== undefined) return { fd, stream: new ReadStream(fd) };
      await delay(RECEIVE_PAUSE_MS);
    }
    throw new Error("The runtime opened the console socket but sent no terminal.");
  } finally {
    socket.destroy();
  }
}
