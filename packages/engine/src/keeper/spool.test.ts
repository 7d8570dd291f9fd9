import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { followOutput, type OutputSource } from "../runtime/follow-output.ts";
import { OutputLedger } from "./output-ledger.ts";
import type { AttachResult, ExecSnapshot } from "./protocol.ts";
import { Spool } from "./spool.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

/** A period that no size of a file or a chunk shares: a byte from a wrong offset shows. */
const pattern = new Uint8Array(1_000_003).map((_, at) => (at * 2_654_435_761) >>> 24);

/** What a stream has at these offsets. */
function bytesFrom(offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const part = pattern.subarray((offset + at) % pattern.length).subarray(0, length - at);
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** One exec's standard output, with a reader as the engine has it. */
class Rig {
  readonly dir = mkdtempSync(join(tmpdir(), "hf-spool-"));
  readonly ledger = new OutputLedger();
  readonly book = this.ledger.book("sb", 1);
  spool: Spool;
  ended = false;
  skipped = 0;
  #changed = Promise.withResolvers<void>();

  constructor(sandboxBytes: number) {
    this.ledger.limits = { sandboxBytes, accountBytes: sandboxBytes, execRetentionMs: 60_000 };
    this.spool = this.open();
  }

  open(dir = this.dir): Spool {
    return new Spool({ dir, name: "stdout", book: this.book, onChange: () => this.#change() });
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  write(length: number): void {
    this.spool.append(bytesFrom(this.spool.bytes, length));
  }

  end(): void {
    this.ended = true;
    this.spool.finish();
    this.#change();
  }

  get source(): OutputSource {
    const { spool } = this;
    return {
      dir: this.dir,
      retentionMs: 60_000,
      snapshot: async () =>
        ({
          ...(this.ended ? { exit: { code: 0 } } : {}),
          stdinBytes: 0,
          stdinClosed: true,
          stdoutBytes: spool.bytes,
          stderrBytes: 0,
          lostBytes: spool.lostBytes,
        }) satisfies ExecSnapshot,
      nextChange: (signal) =>
        new Promise((resolve) => {
          this.#changed.promise.then(resolve, resolve);
          signal.addEventListener("abort", () => resolve(), { once: true });
        }),
      acknowledges: async () => true,
      request: async <T>(request: { op: string; offset?: number; below?: number }) => {
        if (request.op === "attach") return { base: spool.attach(request.offset ?? 0) } satisfies AttachResult as T;
        if (request.below !== undefined) spool.acknowledge(request.below);
        return undefined as T;
      },
    };
  }

  read(offset: number, execId = "e", signal: AbortSignal = AbortSignal.timeout(20_000)) {
    const onSkipped = (bytes: number) => {
      this.skipped += bytes;
    };
    return followOutput(this.source, { sandboxId: "sb", execId, fd: 1, offset }, { signal, onSkipped });
  }

  async readAll(offset: number, execId = "e"): Promise<Buffer> {
    return Buffer.concat(await Array.fromAsync(this.read(offset, execId)));
  }

  get diskBytes(): number {
    return readdirSync(this.dir).reduce((sum, file) => sum + statSync(join(this.dir, file)).size, 0);
  }

  get files(): string[] {
    return readdirSync(this.dir).sort();
  }
}

describe("an output", () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig(MiB);
  });
  afterEach(() => {
    rig.spool.destroy();
    rmSync(rig.dir, { recursive: true, force: true });
  });

  it("makes no file for a process that prints nothing", async () => {
    rig.end();
    expect(rig.files).toEqual([]);
    expect((await rig.readAll(0)).length).toBe(0);
  });

  it("is read whole from any offset, across its files", async () => {
    rig.write(100 * KiB);
    rig.end();
    expect(rig.files).toEqual(["stdout", "stdout.32768", "stdout.65536", "stdout.98304"]);
    const all = Buffer.from(bytesFrom(0, 100 * KiB));
    expect((await rig.readAll(0)).equals(all)).toBe(true);
    for (const offset of [1, 32 * KiB, 40_000, 64 * KiB - 1, 100 * KiB - 1]) {
      expect((await rig.readAll(offset)).equals(all.subarray(offset)), `offset ${offset}`).toBe(true);
    }
    await expect(rig.readAll(100 * KiB + 1)).rejects.toMatchObject({ code: "offset_gap" });
  });

  it("gives back what its reader has, by the offset from which it reads on", async () => {
    rig.write(500 * KiB);
    rig.end();
    await rig.readAll(0);
    expect(rig.diskBytes).toBe(500 * KiB);
    const rest = await rig.readAll(400 * KiB);
    expect(rest.equals(Buffer.from(bytesFrom(400 * KiB, 100 * KiB)))).toBe(true);
    expect(rig.diskBytes).toBe(500 * KiB - 12 * 32 * KiB);
    expect(rig.ledger.bytesOf("sb")).toBe(rig.diskBytes);
  });

  it("keeps its newest part when nobody reads it, and counts for its reader from there", async () => {
    rig.write(5 * MiB);
    rig.end();
    expect(rig.diskBytes).toBeLessThanOrEqual(MiB);
    expect(rig.diskBytes).toBeGreaterThan(MiB - 64 * KiB);
    const newest = Buffer.from(bytesFrom(5 * MiB - rig.diskBytes, rig.diskBytes));
    const first = await rig.readAll(0);
    expect(first.equals(newest)).toBe(true);
    expect(rig.skipped).toBe(5 * MiB - newest.length);
    // A client that was cut off goes on where it was, in its own count.
    expect((await rig.readAll(700_000)).equals(newest.subarray(700_000))).toBe(true);
    expect(rig.skipped).toBe(5 * MiB - newest.length);
  });

  it("tells a reader that was overtaken, instead of leaving something out", async () => {
    rig.write(200 * KiB);
    const reader = rig.read(0);
    const got: Uint8Array[] = [];
    got.push((await reader.next()).value ?? new Uint8Array());
    rig.write(3 * MiB);
    rig.end();
    const rest = async () => {
      for await (const bytes of reader) got.push(bytes);
    };
    await expect(rest()).rejects.toMatchObject({
      code: "resource_exhausted",
      message: /dropped before they were read/,
    });
    const read = Buffer.concat(got);
    expect(read.equals(Buffer.from(bytesFrom(0, read.length)))).toBe(true);
  });

  it("of the main process says how much is gone, to each client anew", async () => {
    rig.write(3 * MiB);
    rig.end();
    for (let client = 0; client < 2; client++) {
      rig.skipped = 0;
      const read = await rig.readAll(0, "main");
      expect(rig.skipped + read.length).toBe(3 * MiB);
      expect(read.equals(Buffer.from(bytesFrom(rig.skipped, read.length)))).toBe(true);
    }
    expect(rig.diskBytes).toBeGreaterThan(900 * KiB);
  });

  it("is complete for a reader that keeps up, however much it is", async () => {
    const total = 12 * MiB;
    const reading = (async () => {
      let at = 0;
      let wrong = 0;
      for await (const bytes of rig.read(0)) {
        if (Buffer.compare(bytes, bytesFrom(at, bytes.length)) !== 0) wrong++;
        at += bytes.length;
        // Half of the budget is written only when all before it was read.
        if (at === rig.spool.bytes && at < total) rig.write(Math.min(500_000, total - at));
        if (at === total && !rig.ended) rig.end();
      }
      return { at, wrong };
    })();
    rig.write(500_000);
    expect(await reading).toEqual({ at: total, wrong: 0 });
    expect(rig.diskBytes).toBeLessThanOrEqual(MiB);
  });

  it("holds for any order of writing, reading, leaving and coming again", async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const one = new Rig(MiB);
      let state = seed * 7919;
      const random = (below: number) => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
        return Math.floor((state / 2 ** 32) * below);
      };
      let at = 0;
      let overtaken = false;
      for (let step = 0; step < 25 && !overtaken; step++) {
        one.write(random(200_000));
        if (random(2) === 0) continue;
        const leave = new AbortController();
        try {
          for await (const bytes of one.read(at, "e", leave.signal)) {
            expect(Buffer.compare(bytes, bytesFrom(one.skipped + at, bytes.length)), `seed ${seed}`).toBe(0);
            at += bytes.length;
            const dice = random(6);
            if (dice < 2 || one.skipped + at === one.spool.bytes) leave.abort();
            else if (dice < 4) one.write(random(300_000));
          }
        } catch (error) {
          expect(error, `seed ${seed}`).toMatchObject({ code: "resource_exhausted" });
          overtaken = true;
        }
        expect(one.diskBytes, `seed ${seed}`).toBeLessThanOrEqual(MiB);
        expect(one.ledger.bytesOf("sb"), `seed ${seed}`).toBe(one.diskBytes);
      }
      one.spool.destroy();
      rmSync(one.dir, { recursive: true, force: true });
    }
  });

  it("of an older keeper is one file, and read and counted as well", async () => {
    const text = bytesFrom(0, 300 * KiB);
    writeFileSync(join(rig.dir, "stdout"), text);
    rig.spool = rig.open();
    rig.end();
    expect(rig.ledger.bytesOf("sb")).toBe(300 * KiB);
    expect((await rig.readAll(100)).equals(Buffer.from(text).subarray(100))).toBe(true);
    rig.spool.forget();
    expect(rig.ledger.size).toEqual({ sandboxes: 0, accounts: 0 });
  });

  it("that cannot be written is counted as lost, and nothing follows the gap", async () => {
    rig.write(10);
    rmSync(rig.dir, { recursive: true });
    rig.write(100 * KiB);
    mkdirSync(rig.dir);
    rig.write(7);
    const { lostBytes, bytes } = rig.spool;
    expect(lostBytes).toBeGreaterThan(7);
    expect(lostBytes + bytes).toBe(10 + 100 * KiB + 7);
    rig.end();
    await expect(rig.readAll(0)).rejects.toMatchObject({ code: "resource_exhausted" });
  });

  it("takes nothing after its end", () => {
    rig.write(10);
    rig.end();
    rig.write(10);
    expect([rig.spool.bytes, rig.spool.lostBytes, rig.diskBytes]).toEqual([10, 0, 10]);
  });
});
