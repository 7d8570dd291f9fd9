import { expect, test } from "vitest";
import { type Bound, misjudged, wrongAt } from "../test/_kit.ts";
import { events } from "../test/examples/events.ts";
import { imageBlock, message, textBlock } from "../test/examples/messages.ts";
import { SessionEvent } from "./event.ts";
import { InterruptDetails, Message, MessageDetails, MessageUpdate } from "./message.ts";

const name = (at: string): Bound => ({
  rule: "",
  at,
  takes: ["m", "m".repeat(200), "with blanks / and signs"],
  refuses: ["", "m".repeat(201), 5, null],
});

test("a client's own name for a message has 1 to 200 characters", () => {
  expect(misjudged(MessageDetails, {}, name("client_id"))).toEqual([]);
});

test("an interrupt names a message by 1 to 200 characters", () => {
  expect(misjudged(InterruptDetails, {}, name("message_id"))).toEqual([]);
});

test("neither needs to say anything", () => {
  expect(MessageDetails.parse({})).toEqual({});
  expect(InterruptDetails.parse({})).toEqual({});
});

test.each(["next", "now"])("a message is delivered %s", (delivery) => {
  expect(MessageDetails.parse({ delivery })).toEqual({ delivery });
  expect(MessageUpdate.parse({ delivery })).toEqual({ delivery });
});

test("an update says other words, another moment, both or nothing", () => {
  for (const update of [{}, { content: [textBlock] }, { delivery: "now" }, { content: [imageBlock], delivery: "next" }])
    expect(MessageUpdate.parse(update)).toEqual(update);
});

test("an update keeps the bounds of what is sent", () => {
  expect(wrongAt(MessageUpdate, { content: Array.from({ length: 101 }, () => textBlock) })).toEqual(["content"]);
  const svg = { type: "image", source: { type: "base64", media_type: "image/svg+xml", data: "AAAA" } };
  expect(wrongAt(MessageUpdate, { content: [svg] })).toEqual(["content.0.source.media_type"]);
  expect(wrongAt(MessageUpdate, { client_id: "mine" })).toEqual(["client_id"]);
});

test("a message that waits shows images of before, whatever their type was", () => {
  const bmp = { ...imageBlock, source: { ...imageBlock.source, media_type: "image/bmp" } };
  expect(Message.parse({ ...message, content: [bmp] }).content).toEqual([bmp]);
});

test.each(["edited", "removed", "started", "steered"] as const)("a message that was %s may keep its words", (state) => {
  const { content: _content, ...rest } = events["holdfast.message"];
  expect(SessionEvent.parse({ ...rest, state })).toEqual({ ...rest, state });
});

test("what Claude itself asked for says so", () => {
  const woken = { ...events["user.message"], holdfast: { wakeup_id: "wake-1" } };
  expect(SessionEvent.parse(woken)).toEqual(woken);
  expect(wrongAt(MessageDetails, { wakeup_id: "wake-1" }), "no client says so").toEqual(["wakeup_id"]);
});
