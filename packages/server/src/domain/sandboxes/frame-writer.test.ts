import { pieceBytes } from "@holdfast/std";
import { expect, test } from "vitest";
import { FrameWriter } from "./frame-writer.ts";

/** An exec whose every write is let through by the test. */
function slowExec() {
  const asked: { bytes: Uint8Array; taken: () => void; failed: (error: Error) => void }[] = [];
  let taken = 0;
  const writer = new FrameWriter({
    write: (bytes) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      asked.push({ bytes, taken: resolve, failed: reject });
      return promise;
    },
    onTaken: () => taken++,
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const takeNext = async (): Promise<Uint8Array | undefined> => {
    await settle();
    const next = asked.shift();
    next?.taken();
    await settle();
    return next?.bytes;
  };
  return { writer, asked, takeNext, settle, taken: () => taken };
}

test("a large frame goes in pieces, each after the one before, and nothing gets between them", async () => {
  const { writer, asked, takeNext, settle, taken } = slowExec();
  const large = new Uint8Array(2 * pieceBytes + 10).fill(1);
  const ping = Uint8Array.of(2);
  const both = Promise.all([writer.write(large), writer.write(ping)]);
  await settle();
  expect(asked.length).toBe(1);
  const sizes: (number | undefined)[] = [];
  for (let n = 0; n < 4; n++) {
    sizes.push((await takeNext())?.length);
    expect(asked.length).toBeLessThanOrEqual(1);
  }
  expect(sizes).toEqual([pieceBytes, pieceBytes, 10, 1]);
  await both;
  expect(taken(), "signs of a reader: neither a frame's end nor a small frame").toBe(2);
});

test("a frame that was given up before its turn is not sent; one that was begun is finished", async () => {
  const { writer, takeNext } = slowExec();
  const leave = new AbortController();
  const begun = writer.write(new Uint8Array(pieceBytes + 1), leave.signal);
  const waiting = writer.write(new Uint8Array(7), leave.signal);
  waiting.catch(() => undefined);
  await takeNext();
  leave.abort(new Error("given up"));
  expect((await takeNext())?.length).toBe(1);
  await begun;
  await expect(waiting).rejects.toThrow("given up");
  const later = writer.write(new Uint8Array(3));
  expect((await takeNext())?.length).toBe(3);
  await later;
});

test("after a failure in the middle of a frame nothing more is sent", async () => {
  const { writer, asked, settle } = slowExec();
  const first = writer.write(new Uint8Array(pieceBytes + 1));
  const second = writer.write(new Uint8Array(1));
  for (const each of [first, second]) each.catch(() => undefined);
  await settle();
  asked.shift()?.failed(new Error("cut"));
  await expect(first).rejects.toThrow("cut");
  await expect(second).rejects.toThrow("cut");
  await expect(writer.write(new Uint8Array(1))).rejects.toThrow("cut");
  expect(asked.length).toBe(0);
});
