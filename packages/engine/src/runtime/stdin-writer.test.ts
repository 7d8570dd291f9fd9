import { pieceBytes } from "@holdfast/std";
import { describe, expect, it } from "vitest";
import { StdinWriter } from "./stdin-writer.ts";
import { RuntimeError } from "./types.ts";

interface Sent {
  offset: number;
  bytes: number;
  eof: boolean;
  take: () => void;
  fail: (error: Error) => void;
}

/** A process that takes a piece when the test says so. */
function slowProcess() {
  const waiting: Sent[] = [];
  const all: Sent[] = [];
  const send = (offset: number, piece: Uint8Array, eof: boolean) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const sent = { offset, bytes: piece.length, eof, take: resolve, fail: reject };
    waiting.push(sent);
    all.push(sent);
    return promise;
  };
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const takeAll = async () => {
    for (await settle(); waiting.length > 0; await settle()) waiting.shift()?.take();
  };
  return { send, waiting, all, settle, takeAll };
}

const target = (offset: number, eof = false, execId = "e") => ({ sandboxId: "sb", execId, offset, eof });

describe("StdinWriter", () => {
  it("has one piece of one writer under way, and ends the input with the last", async () => {
    const { send, waiting, all, settle, takeAll } = slowProcess();
    const writer = new StdinWriter();
    const written = writer.write(target(5, true), new Uint8Array(2 * pieceBytes + 1), { send });
    await settle();
    expect(waiting.length).toBe(1);
    await takeAll();
    await written;
    expect(all.map(({ offset, bytes, eof }) => [offset, bytes, eof])).toEqual([
      [5, pieceBytes, false],
      [5 + pieceBytes, pieceBytes, false],
      [5 + 2 * pieceBytes, 1, true],
    ]);
    expect(writer.waiting).toBe(0);
  });

  it("sends an empty write, which ends the input", async () => {
    const { send, all, takeAll } = slowProcess();
    const written = new StdinWriter().write(target(0, true), new Uint8Array(0), { send });
    await takeAll();
    await written;
    expect(all.map(({ bytes, eof }) => [bytes, eof])).toEqual([[0, true]]);
  });

  it("lets a second writer of the same process wait, and no other", async () => {
    const { send, waiting, settle, takeAll } = slowProcess();
    const writer = new StdinWriter();
    const writes = [
      writer.write(target(0), new Uint8Array(pieceBytes + 1), { send }),
      writer.write(target(pieceBytes + 1), new Uint8Array(1), { send }),
      writer.write(target(0, false, "other"), new Uint8Array(1), { send }),
    ];
    await settle();
    expect(waiting.map(({ offset }) => offset)).toEqual([0, 0]);
    await takeAll();
    await Promise.all(writes);
  });

  it("gives up what was not sent when its client leaves; the next writer waits for what is under way", async () => {
    const { send, waiting, all, settle, takeAll } = slowProcess();
    const writer = new StdinWriter();
    const leave = new AbortController();
    const first = writer.write(target(0), new Uint8Array(3 * pieceBytes), { send, signal: leave.signal });
    const queued = writer.write(target(9), new Uint8Array(1), { send, signal: leave.signal });
    await settle();
    leave.abort(new Error("left"));
    await expect(first).rejects.toThrow("left");
    await expect(queued).rejects.toThrow("left");
    const again = writer.write(target(0), new Uint8Array(3), { send });
    await settle();
    expect(waiting.length).toBe(1);
    await takeAll();
    await again;
    expect(all.map(({ offset, bytes }) => [offset, bytes])).toEqual([
      [0, pieceBytes],
      [0, 3],
    ]);
    expect(writer.waiting).toBe(0);
  });

  it("takes the end of the process in the middle of a write for the end of the write, and before it for an error", async () => {
    const ended = new RuntimeError("not_running", "The process has ended");
    const { send, waiting, settle } = slowProcess();
    const written = new StdinWriter().write(target(0), new Uint8Array(2 * pieceBytes), { send });
    await settle();
    waiting.shift()?.take();
    await settle();
    waiting.shift()?.fail(ended);
    await written;
    const late = new StdinWriter().write(target(0), new Uint8Array(1), { send });
    await settle();
    waiting.shift()?.fail(ended);
    await expect(late).rejects.toBe(ended);
  });
});
