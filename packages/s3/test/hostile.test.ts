import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createS3Client } from "../src/index.ts";
import { REGION, ROOT, serverProcess, tempDir, testServer } from "./_server.ts";

const bucket = "test";

/** A small file system of its own, so that it can be filled. */
async function smallDisk(path: string, sizeMiB: number): Promise<AsyncDisposable> {
  await mkdir(path);
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeMiB}m,mode=0700`, "holdfast-test", path]);
  return {
    [Symbol.asyncDispose]: async () => {
      execFileSync("umount", ["--lazy", path]);
    },
  };
}

async function socketTo(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  return socket;
}

/** Everything until the other side closes. */
async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(socket, "close");
  return Buffer.concat(chunks).toString("latin1");
}

describe("the server holds out against", () => {
  it.skipIf(process.getuid?.() !== 0)(
    "a full disk: says 507, keeps what it has, goes on when there is room",
    async () => {
      await using directory = await tempDir();
      const dataDir = join(directory.path, "disk");
      await using _disk = await smallDisk(dataDir, 8);
      await using kit = await testServer({ dataDir });
      const client = kit.client();
      const kept = Buffer.alloc(3_000_000, "k");
      await client.put({ bucket, key: "kept", body: kept });
      const tooMuch = client.put({ bucket, key: "kept", body: Buffer.alloc(7_000_000, "n") });
      await expect(tooMuch).rejects.toMatchObject({
        code: "InsufficientStorage",
        status: 507,
        remedy: expect.stringContaining("free space"),
      });
      expect((await client.getBytes({ bucket, key: "kept" })).equals(kept)).toBe(true);
      expect(await readdir(join(dataDir, "tmp"))).toEqual([]);
      await client.delete({ bucket, key: "kept" });
      await client.put({ bucket, key: "kept", body: Buffer.alloc(7_000_000, "n") });
    },
  );

  it("a large upload: its memory does not grow with the object", async () => {
    await using directory = await tempDir();
    await using server = await serverProcess({ dataDir: join(directory.path, "data") });
    using client = createS3Client({ endpoint: server.url, region: REGION, credentials: ROOT });
    const memory = async (field: string): Promise<number> => {
      const status = await readFile(`/proc/${server.child.pid}/status`, "utf8");
      return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
    };
    const beforeMiB = await memory("VmRSS");
    const sizeMiB = 400;
    const piece = Buffer.alloc(1024 * 1024, "z");
    const body = {
      lengthBytes: sizeMiB * piece.length,
      async *open() {
        for (let i = 0; i < sizeMiB; i++) yield piece;
      },
    };
    await client.put({ bucket, key: "large", body });
    const { body: back } = await client.get({ bucket, key: "large" });
    let bytes = 0;
    for await (const chunk of back) bytes += (chunk as Buffer).length;
    expect(bytes).toBe(body.lengthBytes);
    expect((await memory("VmHWM")) - beforeMiB).toBeLessThan(130);
  });

  it("a client that goes on sending after a refusal: it hears the refusal, the connection lives", async () => {
    await using kit = await testServer();
    const client = createS3Client({ endpoint: kit.url, region: REGION, credentials: ROOT, maxSockets: 1, attempts: 1 });
    using _client = client;
    await client.put({ bucket, key: "taken", body: "first" });
    for (let i = 0; i < 3; i++) {
      const again = client.put({ bucket, key: "taken", body: Buffer.alloc(8_000_000), ifNoneMatch: "*" });
      await expect(again).rejects.toMatchObject({ code: "PreconditionFailed", status: 412 });
    }
    expect((await client.getBytes({ bucket, key: "taken" })).toString()).toBe("first");
  });

  it("a client that asks before it sends: a refused body is never asked for", async () => {
    await using kit = await testServer();
    const socket = await socketTo(kit.url);
    const answer = readAll(socket);
    socket.write("PUT /test/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n");
    const text = await answer;
    expect(text).toMatch(/^HTTP\/1\.1 403 /);
    expect(text).not.toContain("100 Continue");
  });

  it("a client that says nothing, or stops in the middle", async () => {
    await using kit = await testServer({ idleTimeoutMs: 200 });
    const silent = await socketTo(kit.url);
    await once(silent.resume(), "close");
    const halfway = await socketTo(kit.url);
    const url = new URL(kit.client().presign({ method: "PUT", bucket, key: "half", expiresSeconds: 60 }));
    halfway.write(`PUT ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nContent-Length: 1000\r\n\r\nhalf`);
    await once(halfway.resume(), "close");
    await expect.poll(() => readdir(join(kit.dataDir, "tmp"))).toEqual([]);
    expect(await kit.client().head({ bucket, key: "half" })).toBeUndefined();
  });

  it("more requests at once than it takes", async () => {
    await using kit = await testServer({ maxConcurrent: 2 });
    const open: Socket[] = [];
    for (let i = 0; i < 2; i++) {
      const socket = await socketTo(kit.url);
      const url = new URL(kit.client().presign({ method: "PUT", bucket, key: `held/${i}`, expiresSeconds: 60 }));
      socket.write(
        `PUT ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n`,
      );
      const [continued] = (await once(socket, "data")) as [Buffer];
      expect(continued.toString()).toContain("100 Continue");
      open.push(socket);
    }
    using impatient = createS3Client({ endpoint: kit.url, region: REGION, credentials: ROOT, attempts: 1 });
    await expect(impatient.put({ bucket, key: "k", body: "x" })).rejects.toMatchObject({
      code: "SlowDown",
      status: 503,
    });
    const patient = kit.client().put({ bucket, key: "k", body: "x" });
    for (const socket of open) socket.end("0123456789");
    await patient;
  });

  it("headers without end, nonsense, absolute targets, unknown methods", async () => {
    await using kit = await testServer();
    const sends: [text: string, answer: RegExp][] = [
      [`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${"a".repeat(40_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
      ["nonsense\r\n\r\n", /^HTTP\/1\.1 400 /],
      ["GET http://elsewhere/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 400 .*InvalidURI/s],
      ["PATCH /test/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 403 /],
    ];
    for (const [text, expected] of sends) {
      const socket = await socketTo(kit.url);
      const answer = readAll(socket);
      socket.write(text);
      expect(await answer).toMatch(expected);
    }
    await kit.client().put({ bucket, key: "alive", body: "x" });
  });

  it("writers and deleters that make and remove the same directories", async () => {
    await using kit = await testServer({ durable: false });
    const client = kit.client();
    const work = Array.from({ length: 8 }, async (_, worker) => {
      for (let i = 0; i < 60; i++) {
        const key = `deep/er/still/${worker % 2}/${worker}`;
        await client.put({ bucket, key, body: String(i) });
        expect((await client.getBytes({ bucket, key })).toString()).toBe(String(i));
        await client.delete({ bucket, key });
      }
    });
    await Promise.all(work);
    expect(await readdir(join(kit.dataDir, "buckets/test"))).toEqual([]);
  });
});
