import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { closedStdin, pipeSink, Stdin } from "./stdin.ts";

class Collected {
  readonly taken: Buffer[] = [];
  ended = 0;
  destroyed = false;
  readonly stdin = new Stdin({
    write: async (data) => {
      this.taken.push(Buffer.from(data));
    },
    end: () => {
      this.ended += 1;
    },
    destroy: () => {
      this.destroyed = true;
    },
  });

  get text(): string {
    return Buffer.concat(this.taken).toString();
  }
}

test("however input is cut, repeated and overlapped, the process gets each byte once and in order", async () => {
  let state = 3;
  const next = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let round = 0; round < 100; round++) {
    const it = new Collected();
    const whole = Buffer.from(Array.from({ length: next(300) }, () => 97 + next(26)));
    while (it.stdin.bytes < whole.length) {
      // From anywhere below what it has, to anywhere: as a client whose answer was lost sends it.
      const from = next(it.stdin.bytes + 1);
      const to = from + next(whole.length - from + 1);
      await it.stdin.accept(from, whole.subarray(from, to), false);
    }
    await it.stdin.accept(whole.length, Buffer.alloc(0), true);
    expect(it.text).toBe(whole.toString());
    expect(it.stdin).toMatchObject({ bytes: whole.length, closed: true });
    expect(it.ended).toBe(1);
  }
});

test("what would leave a gap is refused, and nothing of it written", async () => {
  const it = new Collected();
  await it.stdin.accept(0, Buffer.from("abc"), false);
  await expect(it.stdin.accept(4, Buffer.from("e"), false)).rejects.toMatchObject({
    code: "offset_gap",
    message: "Input from byte 4 cannot follow byte 3.",
  });
  await it.stdin.accept(3, Buffer.from("d"), false);
  expect(it.text).toBe("abcd");
});

test("after its end the same again is answered, and more is refused", async () => {
  const it = new Collected();
  await it.stdin.accept(0, Buffer.from("all"), true);
  await it.stdin.accept(0, Buffer.from("all"), true);
  await it.stdin.accept(2, Buffer.from("l"), false);
  await expect(it.stdin.accept(3, Buffer.from("more"), false)).rejects.toMatchObject({ code: "not_running" });
  expect(it.text).toBe("all");
  expect(it.ended).toBe(1);
});

test("a process without input takes none, and says so", async () => {
  const stdin = closedStdin();
  await expect(stdin.accept(0, Buffer.from("x"), false)).rejects.toMatchObject({ code: "not_running" });
  await stdin.accept(0, Buffer.alloc(0), true);
  stdin.destroy();
});

describe("a real pipe", () => {
  let dir: string;
  let reader: number;
  let stdin: Stdin;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "hf-stdin-"));
    const fifo = join(dir, "pipe");
    execFileSync("mkfifo", [fifo]);
    reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    stdin = new Stdin(pipeSink(openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK)));
  });
  afterEach(() => {
    stdin.destroy();
    rmSync(dir, { recursive: true });
  });

  /** What is there now. */
  function read(): Buffer {
    const buffer = Buffer.alloc(256 * 1024);
    try {
      return buffer.subarray(0, readSync(reader, buffer));
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EAGAIN") return Buffer.alloc(0);
      throw error;
    }
  }

  test("a writer waits for a process that does not read, and goes on with it; nothing is lost", async () => {
    const whole = Buffer.alloc(3 * 1024 * 1024, 0);
    for (let at = 0; at < whole.length; at += 4) whole.writeUInt32BE(at, at);
    let isTaken = false;
    const writing = stdin.accept(0, whole, true).then(() => {
      isTaken = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isTaken).toBe(false);
    const got: Buffer[] = [];
    for (let have = 0; have < whole.length; ) {
      const piece = read();
      got.push(piece);
      have += piece.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await writing;
    expect(Buffer.concat(got).equals(whole)).toBe(true);
    closeSync(reader);
  });

  test("a process that closed its input, or ended, keeps no writer waiting", async () => {
    const writing = stdin.accept(0, Buffer.alloc(3 * 1024 * 1024), false);
    closeSync(reader);
    await writing;
    await stdin.accept(3 * 1024 * 1024, Buffer.from("more"), false);
  });
});
