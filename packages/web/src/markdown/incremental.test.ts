import { expect, test } from "vitest";
import { IncrementalMarkdown, parseMarkdown } from "./incremental.ts";

/** Repeatable random numbers: a failure can be run again. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
}

const pieces = [
  "# Heading\n\n",
  "Setext\n===\n\n",
  "A paragraph with **bold**, `code` and a [link](https://example.org).\n\n",
  "Two lines\nof one paragraph\n\n",
  "no blank line after\n",
  "- one\n- two\n",
  "- one\n\n- two, loose\n\n",
  "1. first\n2. second\n\n3. third\n\n",
  "- outer\n  - inner\n    - innermost\n\n  continued\n\n",
  "* star\n\n+ plus\n\n- dash\n\n",
  "```ts\nconst a = 1;\n\n\nconst b = 2;\n```\n\n",
  "~~~\nfence\n\n",
  "    indented code\n\n    more of it\n\n",
  "> quote\n> goes on\n\n> another\n\n",
  "| a | b |\n|---|---|\n| 1 | 2 |\n\n",
  "| a | b |\n|---|:-:|\n",
  "---\n\n",
  "<div>\n\nraw *html*\n\n</div>\n\n",
  "<!-- comment\n\nover lines -->\n\n",
  "- [ ] todo\n- [x] done\n\n",
  "text\n\n\n\n",
  "12\n\n",
  "-\n\n",
  "***\n",
  "é😀 unicode\n\n",
  "\n",
  "   ",
  "crlf\r\nlines\r\n\r\n- one\r\n",
];

function randomDocument(random: () => number): string {
  let text = "";
  for (let left = 1 + Math.floor(random() * 9); left > 0; left--)
    text += pieces[Math.floor(random() * pieces.length)] ?? "";
  return random() < 0.2 ? text.slice(0, Math.floor(random() * text.length)).replace(/\r$/, "") : text;
}

test("incremental parsing equals a full parse on 2,000 random documents", () => {
  const random = generator(20261123);
  for (let round = 0; round < 2_000; round++) {
    const text = randomDocument(random);
    const incremental = new IncrementalMarkdown();
    for (let at = 0; at < text.length; ) {
      const size = 1 + Math.floor(random() * 9);
      incremental.push(text.slice(at, at + size));
      at += size;
    }
    const got = incremental.blocks.map((block) => [block.id, block.token]);
    const want = parseMarkdown(text).map((block) => [block.id, block.token]);
    expect(got, JSON.stringify(text)).toEqual(want);
  }
});

test("closed blocks are the same objects after every delta", () => {
  const incremental = new IncrementalMarkdown();
  incremental.push("# Title\n\nFirst paragraph.\n\nSec");
  const [title, first] = incremental.blocks;
  incremental.push("ond paragraph goes on");
  expect(incremental.blocks[0]).toBe(title);
  expect(incremental.blocks[1]).toBe(first);
  expect(incremental.blocks).toHaveLength(3);
});

test("the end of a message resolves references that came late", () => {
  const incremental = new IncrementalMarkdown();
  incremental.push("See [docs].\n\nMore text.\n\n");
  incremental.push("[docs]: https://example.org\n");
  const paragraph = incremental.finish()[0]?.token;
  expect(JSON.stringify(paragraph)).toContain("https://example.org");
});

test("a delta costs the same at the end of a long text as at its beginning", () => {
  const incremental = new IncrementalMarkdown();
  incremental.push("A paragraph of some words.\n\n".repeat(5_000));
  const startMs = performance.now();
  for (let i = 0; i < 200; i++) incremental.push("word ");
  // Lexing 130 kB two hundred times takes seconds; the tail alone takes milliseconds.
  expect(performance.now() - startMs).toBeLessThan(1_500);
});
