import { describe, expect, it } from "vitest";
import { encodeFrame, FrameDecoder } from "./protocol.ts";

function decodeAll(chunks: Buffer[]): { header: unknown; payload: string }[] {
  const decoder = new FrameDecoder<object>();
  return chunks.flatMap((chunk) =>
    [...decoder.push(chunk)].map(({ header, body }) => ({ header, payload: Buffer.from(body).toString() })),
  );
}

describe("frames", () => {
  it("are, byte for byte, what keepers of the first release speak", () => {
    const frame = Buffer.from(encodeFrame({ op: "stdin", id: 7 }, Buffer.from("ab")));
    expect(frame.toString("hex")).toBe(`1b00000015000000${Buffer.from('{"op":"stdin","id":7}ab').toString("hex")}`);
  });

  const stream = Buffer.concat([
    encodeFrame({ id: 1, text: "ü" }, Buffer.from("payload")),
    encodeFrame({ id: 2 }),
    encodeFrame({ id: 3 }, Buffer.from("x")),
  ]);
  const expected = [
    { header: { id: 1, text: "ü" }, payload: "payload" },
    { header: { id: 2 }, payload: "" },
    { header: { id: 3 }, payload: "x" },
  ];

  it("come out whole however the stream is cut", () => {
    expect(decodeAll([stream])).toEqual(expected);
    expect(decodeAll([...stream].map((byte) => Buffer.of(byte)))).toEqual(expected);
    for (let cut = 1; cut < stream.length; cut++) {
      expect(decodeAll([stream.subarray(0, cut), stream.subarray(cut)])).toEqual(expected);
    }
  });

  it("that cannot be ours are refused before they are waited for", () => {
    const huge = Buffer.alloc(8);
    huge.writeUInt32LE(0xffffffff, 0);
    expect(() => decodeAll([huge])).toThrow("not a keeper frame");
    const inconsistent = Buffer.alloc(8);
    inconsistent.writeUInt32LE(8, 0);
    inconsistent.writeUInt32LE(8, 4);
    expect(() => decodeAll([inconsistent])).toThrow("not a keeper frame");
  });
});
