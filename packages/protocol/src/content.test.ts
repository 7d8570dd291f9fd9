import { expect, test } from "vitest";
import { type Bound, misjudged, seeded, seededBytes, wordsFor, wrongAt } from "../test/_kit.ts";
import { imageBlock, textBlock } from "../test/examples/messages.ts";
import { SentContent, SentImageBlock } from "./content.ts";

const data: Bound[] = [
  {
    rule: "an image's data are whole groups of four",
    at: "source.data",
    takes: ["AAAA", "AAA=", "AA==", "AAAAAAAA", "+/+/"],
    refuses: ["A", "AA", "AAA", "AAAAA", "AA=", "AAAA=", "A===", "====", "=AAA", "AA=A"],
  },
  {
    rule: "an image's data are base64, not its form for URLs, and nothing around it",
    at: "source.data",
    takes: [],
    refuses: ["-_-_", "AAA ", " AAA", "AAA\n", "AAAA\nAAAA", "data:image/png;base64,AAAA", "ÄÄÄÄ", "AA\u0000="],
  },
];

test.each(data)("$rule", (bound) => {
  expect(misjudged(SentImageBlock, imageBlock, bound)).toEqual([]);
});

test("an empty image is said to be empty", () => {
  const empty = { ...imageBlock, source: { ...imageBlock.source, data: "" } };
  expect(wordsFor(SentImageBlock, empty)).toContain("must not be empty");
});

test("whatever bytes a client encodes are taken", () => {
  const next = seeded(1);
  for (let length = 1; length <= 200; length++) {
    const encoded = Buffer.from(seededBytes(next, length)).toString("base64");
    const image = { ...imageBlock, source: { ...imageBlock.source, data: encoded } };
    expect(wrongAt(SentImageBlock, image)).toEqual([]);
  }
});

test("encoded bytes that lost their end are refused, wherever that was inside of a group", () => {
  const encoded = Buffer.from(seededBytes(seeded(2), 30)).toString("base64");
  for (let length = 1; length <= encoded.length; length++) {
    const image = { ...imageBlock, source: { ...imageBlock.source, data: encoded.slice(0, length) } };
    expect(wrongAt(SentImageBlock, image)).toEqual(length % 4 === 0 ? [] : ["source.data"]);
  }
});

test("an image of four megabytes is looked at in one pass", () => {
  const large = { ...imageBlock, source: { ...imageBlock.source, data: "A".repeat(4 * 1024 * 1024) } };
  expect(wrongAt(SentImageBlock, large)).toEqual([]);
  const spoiled = { ...large, source: { ...large.source, data: `${large.source.data.slice(4)}AAA!` } };
  expect(wrongAt(SentImageBlock, spoiled)).toEqual(["source.data"]);
});

test("a message has up to 100 blocks", () => {
  const of = (length: number) => Array.from({ length }, () => textBlock);
  expect(wrongAt(SentContent, of(100))).toEqual([]);
  expect(wrongAt(SentContent, of(101))).toEqual([""]);
  expect(wordsFor(SentContent, of(101))[0]).toMatch(/100 blocks.*put more text into one/);
});

test("whether a message says anything is the server's to say", () => {
  expect(SentContent.parse([])).toEqual([]);
  expect(SentContent.parse([{ type: "text", text: "" }])).toEqual([{ type: "text", text: "" }]);
});

test.each([
  ["a document", { type: "document", source: imageBlock.source }, "0.type"],
  ["a block without a type", { text: "Hello" }, "0.type"],
  [
    "an image by its address",
    { type: "image", source: { type: "url", url: "https://example.org/a.png" } },
    "0.source.type",
  ],
  ["a text that is none", { type: "text", text: 5 }, "0.text"],
  ["words alone", "Hello", "0"],
])("%s is refused", (_what, block, at) => {
  expect(wrongAt(SentContent, [block])).toContain(at);
});

test("blocks keep their order, and lose what official clients add", () => {
  const cached = { ...textBlock, cache_control: { type: "ephemeral" } };
  expect(SentContent.parse([imageBlock, cached])).toEqual([imageBlock, textBlock]);
});
