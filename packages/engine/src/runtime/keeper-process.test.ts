import { mkdtempSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { defaultOutputLimits } from "../keeper/output-ledger.ts";
import { layoutOf } from "../keeper/paths.ts";
import { encodeFrame, FrameDecoder, PROTOCOL_VERSION, type Request } from "../keeper/protocol.ts";
import { reachKeeper } from "./keeper-process.ts";

const hello = { version: PROTOCOL_VERSION, pid: process.pid, runtime: "crun" };

/** Listens where the keeper does; `meet` gets every connection with its number. */
async function listen(meet: (socket: Socket, index: number) => void) {
  const layout = layoutOf(mkdtempSync(join(tmpdir(), "hf-keeper-")), "t");
  let count = 0;
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    meet(socket, count++);
  });
  await new Promise<void>((resolve) => server.listen(layout.socket, resolve));
  onTestFinished(() => {
    server.close();
  });
  return { layout, connections: () => count };
}

/** What a living keeper says first. */
function greet(socket: Socket): void {
  const decoder = new FrameDecoder<Request & { id: number }>();
  socket.on("data", (chunk) => {
    for (const { header } of decoder.push(chunk)) socket.write(encodeFrame({ id: header.id, result: hello }));
  });
}

test.each([
  ["closes the connection", (socket: Socket) => socket.end()],
  ["drops the connection", (socket: Socket) => socket.destroy()],
  ["hears the greeting and is gone", (socket: Socket) => socket.once("data", () => socket.destroy())],
])("a keeper that is just leaving %s: the next one is reached", async (_how, leave) => {
  const { layout, connections } = await listen((socket, index) => (index < 3 ? leave(socket) : greet(socket)));
  const runtime = { binary: "crun", kind: "crun" as const, version: "crun" };
  const { client, started } = await reachKeeper({ layout, instance: "t", runtime, output: defaultOutputLimits });
  onTestFinished(() => client.close());
  expect({ started, hello: client.hello, connections: connections() }).toEqual({
    started: false,
    hello,
    connections: 4,
  });
});
