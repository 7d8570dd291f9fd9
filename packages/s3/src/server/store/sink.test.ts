import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { recordedFiles } from "../../../test/_recorded-files.ts";
import { encodeFooter, type ObjectInfo } from "./footer.ts";
import { Sink } from "./sink.ts";
import { ObjectStore } from "./store.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "holdfast-sink-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const BORDER = 512 * 1024;
/** Around the size at which what is gathered is written: the data alone, and with its footer. */
const SIZES = Array.from({ length: 97 }, (_, i) => BORDER - 3072 + i * 64);

function infoOf(sizeBytes: number): ObjectInfo {
  return { sizeBytes, etag: "0".repeat(32), modifiedMs: 1, headers: {}, metadata: { note: "x".repeat(200) } };
}

async function storeWith(files: ReturnType<typeof recordedFiles>): Promise<ObjectStore> {
  const store = await ObjectStore.open({ dataDir: join(root, "data"), durable: true, files });
  await store.createBucket("test");
  return store;
}

describe("an object's file", () => {
  it("is written, then made durable, then closed, then named, whatever its size", async () => {
    const files = recordedFiles({ slowWrites: true });
    await using store = await storeWith(files);
    for (const sizeBytes of SIZES) {
      files.calls.length = 0;
      await using sink = await store.createSink(0);
      await sink.write(Buffer.alloc(sizeBytes, "d"));
      await store.commit({ bucket: "test", key: "k" }, { sink, info: infoOf(sizeBytes) });
      const order = files.calls.filter((call) => !call.startsWith("open"));
      const writes = order.filter((call) => call.startsWith("write"));
      expect(order, `${sizeBytes} bytes`).toEqual([...writes, "sync begins", "sync ends", "close", "rename"]);
      expect(writes.at(-1)).toBe("write ends");
      await using object = await store.openObject({ bucket: "test", key: "k" });
      expect(object?.info.sizeBytes).toBe(sizeBytes);
    }
  });

  it("holds every chunk in order, also those nobody waited for, with writes that come back short", async () => {
    const files = recordedFiles({ slowWrites: true, shortWrites: true });
    const sink = await Sink.create(join(root, "f"), files);
    const chunks = Array.from({ length: 9 }, (_, i) => Buffer.alloc(200_000 + i, String(i)));
    const whole = Buffer.concat(chunks);
    const waits = chunks.map((chunk) => sink.write(chunk));
    await sink.seal({ tail: Buffer.from("tail"), durable: true });
    await Promise.all(waits);
    sink.markCommitted();
    expect(sink.sizeBytes).toBe(whole.length);
    expect(Buffer.concat([whole, Buffer.from("tail")]).equals(await readFile(join(root, "f")))).toBe(true);
  });
});

describe("a call that fails", () => {
  const steps = ["write", "sync", "close", "rename"] as const;
  for (const errno of ["ENOSPC", "EIO", "EDQUOT"]) {
    it.each(steps)(`(%s, ${errno}) fails the commit and leaves the earlier object and nothing else`, async (step) => {
      const files = recordedFiles({});
      await using store = await storeWith(files);
      const address = { bucket: "test", key: "deep/er/k" };
      const put = async (text: string) => {
        await using sink = await store.createSink(0);
        await sink.write(Buffer.from(text));
        await store.commit(address, { sink, info: infoOf(text.length) });
      };
      await put("earlier");
      files.failNext(step, errno);
      await expect(put("later, and longer")).rejects.toMatchObject({ code: errno });
      await using object = await store.openObject(address);
      expect(object?.data?.toString()).toBe("earlier");
      expect(await readdir(join(root, "data/tmp"))).toEqual([]);
      await put("room again");
      await using after = await store.openObject(address);
      expect(after?.data?.toString()).toBe("room again");
    });
  }

  it("in the middle fails the seal, and no later write hides it", async () => {
    const files = recordedFiles({ slowWrites: true });
    const sink = await Sink.create(join(root, "f"), files);
    files.failNext("write", "ENOSPC");
    const first = sink.write(Buffer.alloc(BORDER));
    const second = sink.write(Buffer.alloc(BORDER));
    await expect(sink.seal({ tail: encodeFooter(infoOf(2 * BORDER)), durable: true })).rejects.toThrow(/ENOSPC/);
    await expect(first).rejects.toThrow(/ENOSPC/);
    await expect(second).rejects.toThrow(/ENOSPC/);
    await sink[Symbol.asyncDispose]();
    expect(await readdir(root)).toEqual([]);
  });

  it("is no unhandled rejection where the upload is given up", async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => {
      unhandled.push(reason);
    };
    process.on("unhandledRejection", note);
    try {
      const files = recordedFiles({ slowWrites: true });
      {
        await using sink = await Sink.create(join(root, "f"), files);
        files.failNext("write", "ENOSPC");
        sink.write(Buffer.alloc(BORDER))?.catch(() => undefined);
        sink.write(Buffer.alloc(BORDER))?.catch(() => undefined);
      }
      expect(files.calls.at(-1)).toBe("close");
      await new Promise((resolve) => setImmediate(resolve));
      expect(unhandled).toEqual([]);
    } finally {
      process.off("unhandledRejection", note);
    }
  });
});

describe("a copy with metadata of its own", () => {
  it.each(["write", "sync", "rename"] as const)("is not made where its %s fails", async (step) => {
    const files = recordedFiles({ shortWrites: true });
    await using store = await storeWith(files);
    const from = { bucket: "test", key: "from" };
    {
      await using sink = await store.createSink(0);
      await sink.write(Buffer.from("data"));
      await store.commit(from, { sink, info: infoOf(4) });
    }
    await using source = await store.openObject(from);
    if (source === undefined) throw new Error("the source is gone");
    const info = { ...source.info, metadata: { other: "y".repeat(300) } };
    const to = { bucket: "test", key: "to" };
    files.failNext(step, "ENOSPC");
    await expect(store.copy({ ...source, address: from }, { to, info })).rejects.toMatchObject({ code: "ENOSPC" });
    expect(await store.info(to)).toBeUndefined();
    await store.copy({ ...source, address: from }, { to, info });
    await using made = await store.openObject(to);
    expect(made?.data?.toString()).toBe("data");
    expect(made?.info.metadata).toEqual(info.metadata);
    expect(await readdir(join(root, "data/tmp"))).toEqual([]);
  });
});
