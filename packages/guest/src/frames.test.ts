import { expect, test } from "vitest";
import { encodeFrame, type Frame, FrameDecoder, type GuestMessage } from "./frames.ts";

const frames: Frame<GuestMessage>[] = [
  { header: { type: "hello", version: 1, pid: 1, processes: [] }, body: new Uint8Array(0) },
  { header: { type: "stdout", processId: "prc_1", offset: 7 }, body: new Uint8Array([0, 255, 10, 13]) },
  { header: { type: "reply", requestId: 1, ok: true }, body: new Uint8Array(0) },
];

test.each([1, 3, 1000])("frames survive being cut into pieces of %i bytes", (size) => {
  const bytes = Buffer.concat(frames.map((frame) => encodeFrame(frame.header, frame.body)));
  const decoder = new FrameDecoder<GuestMessage>();
  const got: Frame<GuestMessage>[] = [];
  for (let at = 0; at < bytes.length; at += size) got.push(...decoder.push(bytes.subarray(at, at + size)));
  expect(got.map((frame) => frame.header)).toEqual(frames.map((frame) => frame.header));
  expect(got.map((frame) => [...frame.body])).toEqual(frames.map((frame) => [...frame.body]));
});

test("frames are, byte for byte, what guests of the first release speak", () => {
  const frame = Buffer.from(encodeFrame({ type: "ping", requestId: 7 }, Buffer.from("ab")));
  const json = '{"type":"ping","requestId":7}';
  expect(frame.toString("hex")).toBe(`0000001d00000002${Buffer.from(`${json}ab`).toString("hex")}`);
});

test("foreign bytes are an error, not a wait for 3 GB", () => {
  const decoder = new FrameDecoder<GuestMessage>();
  expect(() => [...decoder.push(Buffer.from("socat[12] E connect(): refused\n"))]).toThrow("not a guest frame");
});
