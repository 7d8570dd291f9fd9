import { createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";
import {
  type EgressMessage,
  type EgressMethods,
  type EgressRequest,
  protocolVersion,
  type Refusal,
} from "./protocol.ts";
import { putSandbox, recheck, removeSandbox, type World } from "./sandbox.ts";

const maxRefusalsKept = 1_000;

/** The engine's side door: a Unix socket in a root-only directory. */
export interface Control {
  server: Server;
  /** Tells every engine connected, or keeps it for the next one. */
  announce(refusal: Refusal): void;
}

export function createControl(world: () => World, onShutdown: () => void): Control {
  const engines = new Set<Socket>();
  const unheard: Refusal[] = [];
  const send = (socket: Socket, message: EgressMessage) => {
    if (socket.writable) socket.write(`${JSON.stringify(message)}\n`);
  };
  const server = createServer((socket) => {
    engines.add(socket);
    socket.on("close", () => engines.delete(socket));
    // 'close' follows; the engine comes back when it wants to.
    socket.on("error", () => {});
    const lines = createInterface({ input: socket });
    // Repeats the socket's errors.
    lines.on("error", () => {});
    lines.on("line", (line) => {
      const request = parse(line);
      if (request === undefined) {
        socket.destroy();
        return;
      }
      try {
        send(socket, { id: request.id, result: handle(world(), request) });
      } catch (error) {
        send(socket, { id: request.id, error: error instanceof Error ? error.message : String(error) });
      }
      if (request.method === "shutdown") socket.end(onShutdown);
    });
    for (const refusal of unheard.splice(0)) send(socket, { event: "refused", refusal });
  });
  return {
    server,
    announce(refusal) {
      if (engines.size === 0) unheard.push(refusal);
      if (unheard.length > maxRefusalsKept) unheard.shift();
      for (const socket of engines) send(socket, { event: "refused", refusal });
    },
  };
}

function parse(line: string): EgressRequest | undefined {
  try {
    return JSON.parse(line) as EgressRequest;
  } catch {
    // No engine of ours: its connection ends.
    return undefined;
  }
}

function handle(world: World, request: EgressRequest): EgressMethods[EgressRequest["method"]]["result"] {
  switch (request.method) {
    case "hello":
      return { version: protocolVersion, pid: process.pid };
    case "synchronise": {
      const { configuration, sandboxes } = request.params;
      world.services = configuration.services;
      world.resolvConfPath = configuration.resolvConfPath;
      const wanted = new Set(sandboxes.map((rule) => rule.id));
      for (const { id } of [...world.byAddress.values()]) if (!wanted.has(id)) removeSandbox(world, id);
      for (const rule of sandboxes) putSandbox(world, rule);
      for (const sandbox of world.byAddress.values()) recheck(world, sandbox);
      return null;
    }
    case "put":
      putSandbox(world, request.params);
      return null;
    case "remove":
      removeSandbox(world, request.params.id);
      return null;
    case "stats": {
      const sandboxes = [...world.byAddress.values()];
      const connections = sandboxes.reduce((sum, sandbox) => sum + sandbox.connections.size, 0);
      return { sandboxes: sandboxes.length, connections, residentBytes: process.memoryUsage.rss() };
    }
    case "shutdown":
      return null;
  }
}
