import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KeeperError } from "../../src/keeper/keeper-error.ts";
import { encodeFrame, FrameDecoder, type KeeperEvent, type Reply, type Request } from "../../src/keeper/protocol.ts";
import { KeeperServer } from "../../src/keeper/server.ts";
import { KeeperClient } from "../../src/runtime/keeper-client.ts";

const MiB = 1024 * 1024;

/** The keeper's socket, and requests that the test answers. */
class Rig implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "hf-conn-"));
  readonly path = join(this.dir, "keeper.sock");
  readonly warnings: string[] = [];
  readonly payloads: number[] = [];
  answer: (request: Request, payload: Uint8Array) => Promise<unknown> = async () => undefined;
  readonly server = new KeeperServer({
    socketPath: this.path,
    handle: async (request, payload) => {
      this.payloads.push(payload.length);
      if (request.op === "hello") return { version: 1, pid: 1, runtime: "test" };
      return this.answer(request, payload);
    },
    warn: (message) => this.warnings.push(message),
  });
  readonly #clients: { destroy(): void }[] = [];

  async client(): Promise<KeeperClient> {
    const client = await KeeperClient.connect(this.path);
    this.#clients.push({ destroy: () => client.close() });
    return client;
  }

  /** Without any care of ours. */
  async raw(): Promise<Socket> {
    const socket = connect(this.path);
    await once(socket, "connect");
    socket.on("error", () => undefined);
    this.#clients.push(socket);
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await new Promise<void>((resolve) => this.server.close(resolve));
    rmSync(this.dir, { recursive: true, force: true });
  }
}

async function nextReply(socket: Socket, id: number): Promise<Reply> {
  const decoder = new FrameDecoder<Reply>();
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    for (const { header } of decoder.push(chunk as Buffer)) if (header.id === id) return header;
  }
  throw new Error("the connection ended without the answer");
}

describe("engine and keeper", () => {
  let rig: Rig;
  beforeEach(async () => {
    rig = new Rig();
    await rig.server.listen();
  });
  afterEach(() => rig[Symbol.asyncDispose]());

  it("a request that is too large is its caller's error, and others' requests go on", async () => {
    const client = await rig.client();
    const large = client.request(
      { op: "stdin", sandboxId: "s", execId: "e", offset: 0, eof: true },
      new Uint8Array(64 * MiB),
    );
    await expect(large).rejects.toMatchObject({ code: "invalid", message: expect.stringContaining("too large") });
    const wide = client.request({
      op: "exec",
      sandboxId: "s",
      execId: "e",
      process: "x".repeat(17 * MiB),
      stdout: "pipe",
      stderr: "pipe",
    });
    await expect(wide).rejects.toMatchObject({ code: "invalid" });
    await client.request({ op: "list" });
    expect(client.closed).toBe(false);
  });

  it("an answer that is too large is an error of its request alone", async () => {
    rig.answer = async (request) => (request.op === "list" ? ["x".repeat(17 * MiB)] : "fine");
    const client = await rig.client();
    await expect(client.request({ op: "list" })).rejects.toMatchObject({ code: "resource_exhausted" });
    expect(await client.request({ op: "shutdown" })).toBe("fine");
  });

  it("an engine that does not check its sizes is answered, and not cut off", async () => {
    const socket = await rig.raw();
    const header = Buffer.from(JSON.stringify({ op: "stdin", id: 5 }));
    const head = Buffer.alloc(8);
    const payload = Buffer.alloc(50 * MiB);
    head.writeUInt32LE(4 + header.length + payload.length, 0);
    head.writeUInt32LE(header.length, 4);
    socket.write(Buffer.concat([head, header]));
    socket.write(payload);
    socket.write(encodeFrame({ op: "list", id: 6 }));
    const replies: Reply[] = [];
    const decoder = new FrameDecoder<Reply>();
    socket.on("data", (chunk) => {
      for (const frame of decoder.push(chunk)) replies.push(frame.header);
    });
    await vi.waitFor(() => expect(replies.map(({ id }) => id)).toEqual([5, 6]), { timeout: 20_000 });
    expect(replies[0]).toMatchObject({
      error: { code: "invalid", message: expect.stringContaining(`${50 * MiB} bytes`) },
    });
    expect(rig.payloads).toEqual([0]);
  });

  it.each([
    ["no frame", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["no JSON", withHeader("{nonsense")],
    ["null", withHeader("null")],
    ["no id", withHeader('{"op":"list"}')],
    ["no op", withHeader('{"id":1}')],
    ["a thousand levels", withHeader(`{"id":1,"op":"list","x":${"[".repeat(1_000)}${"]".repeat(1_000)}}`)],
  ])("%s from one engine ends that connection and no other", async (_, bytes) => {
    const client = await rig.client();
    const socket = await rig.raw();
    const closed = once(socket, "close");
    socket.write(bytes);
    socket.resume();
    await closed;
    expect(rig.warnings.length).toBe(1);
    await client.request({ op: "list" });
    expect(client.closed).toBe(false);
  });

  it("an answer that cannot be written is a warning, not the keeper's end", async () => {
    rig.answer = async () => 1n;
    const client = await rig.client();
    await expect(client.request({ op: "list" })).rejects.toMatchObject({ code: "unavailable" });
  });

  it("an engine that was stopped costs one event for each process, and is told of all when it reads again", async () => {
    const socket = await rig.raw();
    socket.write(encodeFrame({ op: "list", id: 1 }));
    await nextReply(socket, 1);
    socket.pause();
    const before = process.memoryUsage().heapUsed;
    const execs = Array.from({ length: 20_000 }, (_, n) => `exec-${n}`);
    for (let round = 0; round < 20; round++) {
      for (const execId of execs) rig.server.emit({ event: "output", sandboxId: "sb", execId });
      await new Promise((resolve) => setImmediate(resolve));
    }
    rig.server.emit({ event: "exec", sandboxId: "sb", execId: "exec-1" });
    // 400 000 events of 100 bytes and their bookkeeping were over 100 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(40 * MiB);
    const told = new Set<string>();
    const decoder = new FrameDecoder<KeeperEvent>();
    socket.on("data", (chunk) => {
      for (const { header } of decoder.push(chunk))
        told.add("execId" in header ? `${header.event} ${header.execId}` : "");
    });
    socket.resume();
    await vi.waitFor(() => expect(told.size).toBe(execs.length + 1), { timeout: 20_000 });
  });

  it("takes no more requests from an engine that does not read its answers", async () => {
    let asked = 0;
    rig.answer = async () => {
      asked++;
      return "x".repeat(100_000);
    };
    const socket = await rig.raw();
    const many = 400;
    for (let id = 1; id <= many; id++) socket.write(encodeFrame({ op: "list", id, padding: "y".repeat(2_000) }));
    await vi.waitFor(() => expect(asked).toBeGreaterThan(5));
    const reached = await steady(() => asked);
    expect(reached).toBeLessThan(many / 2);
    expect((await nextReply(socket, many)).id).toBe(many);
    expect(asked).toBe(many);
  });

  it("an error with a code keeps it on the way", async () => {
    rig.answer = async () => {
      throw new KeeperError("offset_gap", "in words");
    };
    const client = await rig.client();
    await expect(client.request({ op: "list" })).rejects.toMatchObject({ code: "offset_gap", message: "in words" });
  });
});

function withHeader(json: string): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(4 + json.length, 0);
  head.writeUInt32LE(json.length, 4);
  return Buffer.concat([head, Buffer.from(json)]);
}

/** The value once it has not changed for ten turns of a loop that lets everything else run. */
async function steady(value: () => number): Promise<number> {
  let last = value();
  for (let same = 0; same < 10; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    same = value() === last ? same + 1 : 0;
    last = value();
  }
  return last;
}
