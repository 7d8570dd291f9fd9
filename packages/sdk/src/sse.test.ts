import { expect, test } from "vitest";
import { readSse, type SseMessage } from "./sse.ts";

const bodyOf = (text: string, size: number) => {
  const bytes = new TextEncoder().encode(text);
  const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );
  return ReadableStream.from(pieces) as ReadableStream<Uint8Array>;
};

async function eventsOf(body: ReadableStream<Uint8Array>): Promise<SseMessage[]> {
  const events: SseMessage[] = [];
  for await (const event of readSse(body)) events.push(event);
  return events;
}

const stream = [
  ": a comment\n\n",
  "event: message\nid: 1\ndata: one\n\n",
  "data: two\ndata:  lines\r\n\r\n",
  "event: ping\rdata: three 👍\r\r",
  "event: nothing\n\n",
  "unknown: x\nid: 4\ndata\n\n",
  "data: [cut off",
].join("");

test.each([1, 2, 7, 10_000])("every form of an event, in pieces of %i bytes", async (size) => {
  expect(await eventsOf(bodyOf(stream, size))).toEqual([
    { event: "message", id: "1", data: "one" },
    { event: "message", data: "two\n lines" },
    { event: "ping", data: "three 👍" },
    { event: "message", id: "4", data: "" },
  ]);
});

test.each([
  ["one line", "data: ", ""],
  ["many lines", "", "\ndata: "],
])("an event without end is given up: %s", async (_, before, between) => {
  const piece = new TextEncoder().encode(`${between}${"x".repeat(1024 * 1024)}`);
  async function* endless() {
    yield new TextEncoder().encode(before);
    for (;;) yield piece;
  }
  await expect(eventsOf(ReadableStream.from(endless()) as ReadableStream<Uint8Array>)).rejects.toThrow("longer than");
});
