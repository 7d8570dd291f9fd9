import { expect, test } from "vitest";
import { createUsageMeter } from "./usage-meter.ts";

const STREAM = [
  'event: message_start\ndata: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":5,"output_tokens":1,"cache_read_input_tokens":9}}}\n\n',
  'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"\\"message_delta\\" 👍"}}\r\n\r\n',
  'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":30}}\n\n',
  'event: message_stop\ndata: {"type":"message_stop"}\n\n',
].join("");
const EXPECTED = {
  model: "m",
  inputTokens: 5,
  outputTokens: 30,
  cacheWriteTokens: 0,
  cacheReadTokens: 9,
  complete: true,
};

test.each([1, 7, 64, 10_000])("reads a stream in pieces of %i bytes", (size) => {
  const meter = createUsageMeter("text/event-stream; charset=utf-8");
  const bytes = Buffer.from(STREAM);
  for (let at = 0; at < bytes.length; at += size) meter.push(bytes.subarray(at, at + size));
  expect(meter.end()).toEqual(EXPECTED);
});

test("a cut stream is counted, and said to be incomplete", () => {
  const meter = createUsageMeter("text/event-stream");
  meter.push(Buffer.from(STREAM.slice(0, STREAM.indexOf("event: message_delta"))));
  expect(meter.end()).toMatchObject({ outputTokens: 1, complete: false });
});

test("a giant line is skipped without being kept, and the stream goes on", () => {
  const meter = createUsageMeter("text/event-stream");
  const giant = Buffer.alloc(1024 * 1024, 97);
  for (let i = 0; i < 50; i++) meter.push(giant);
  meter.push(Buffer.from(`\n${STREAM}`));
  expect(meter.end()).toEqual(EXPECTED);
});

test.each([
  ["in one line", "data: ", ""],
  ["in many lines", "", "\ndata: "],
])("a giant event is skipped without being kept, and the stream goes on: %s", (_, before, between) => {
  const meter = createUsageMeter("text/event-stream");
  meter.push(Buffer.from(before));
  for (let i = 0; i < 800; i++) meter.push(Buffer.from(`${between}${"a".repeat(64 * 1024)}`));
  meter.push(Buffer.from(`\n\n${STREAM}`));
  expect(meter.end()).toEqual(EXPECTED);
});

test("what holds no usage gives none", () => {
  const json = createUsageMeter("application/json");
  json.push(Buffer.from('{"input_tokens":7}'));
  expect(json.end()).toBeUndefined();
  const broken = createUsageMeter("text/event-stream");
  broken.push(Buffer.from('data: {"type":"message_start",\n\ndata: null\n\n'));
  expect(broken.end()).toBeUndefined();
});
