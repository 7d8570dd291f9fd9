import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { clipLine } from "./clip-line.ts";
import { packLines, unpackLines } from "./pack-lines.ts";

const clip = (line: string | Uint8Array) => Buffer.from(clipLine(Buffer.from(line))).toString();
const mark = (text: string) =>
  `[clipped by Holdfast: ${Buffer.byteLength(text)} bytes, sha256 ${createHash("sha256").update(text).digest("hex")}]`;

const long = 'é"\\\n\u0000'.repeat(500);
const image = "iVBORw0KGgo+/".repeat(200);

test("copies of files and images are clipped, every other byte stays", () => {
  const before = `{ "b" : 1.0e0,"type":"user","message":{"content":[{"type":"image","source":{"type":"base64","data":`;
  const middle = `}},{"text":${JSON.stringify(long)}}]},"tool_use_result":{"originalFile":`;
  const file = `,"file":{"content":`;
  const end = `},"structuredPatch":[{"lines":["${"x".repeat(2000)}"]}],"stdout":${JSON.stringify(long)},"content":[{"text":${JSON.stringify(long)}}]} }`;
  const line = (data: string, original: string, content: string) =>
    [before, middle, file, end].map((part, at) => part + (["", data, original, content, ""][at + 1] ?? "")).join("");
  const whole = line(...([image, long, long].map((text) => JSON.stringify(text)) as [string, string, string]));
  const clipped = line(...([image, long, long].map((text) => JSON.stringify(mark(text))) as [string, string, string]));
  expect(() => JSON.parse(whole)).not.toThrow();
  expect(clip(whole)).toBe(clipped);
});

test("a tool's input is never clipped, nor is what only looks like an image", () => {
  const input = { content: long, originalFile: long, data: image };
  const use = JSON.stringify({ type: "assistant", message: { content: [{ type: "tool_use", name: "Write", input }] } });
  expect(clip(use)).toBe(use);
  const asked = JSON.stringify({ type: "control_request", request: { subtype: "can_use_tool", input } });
  expect(clip(asked)).toBe(asked);
  const words = JSON.stringify({ type: "user", tool_use_result: { data: "not, an image! ".repeat(200) } });
  expect(clip(words)).toBe(words);
});

test("what is no JSON becomes a line of JSON", () => {
  expect(JSON.parse(clip("warning: \u001b[31mred"))).toEqual({
    type: "holdfast.not_json",
    text: "warning: \u001b[31mred",
  });
  expect(JSON.parse(clip(""))).toEqual({ type: "holdfast.not_json", text: "" });
  const torn = Buffer.from([0x7b, 0xff, 0x00]);
  expect(JSON.parse(clip(torn))).toEqual({
    type: "holdfast.not_json",
    text: "{�\u0000",
    base64: torn.toString("base64"),
  });
});

test("the captures of the real CLI stay valid, and only marks are new", () => {
  const folder = new URL("../../../../claude/fixtures/", import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith(".ndjson") && !name.includes("stdin"));
  expect(files.length).toBeGreaterThan(50);
  for (const name of files) {
    for (const line of readFileSync(new URL(name, folder), "utf8").split("\n")) {
      if (line === "") continue;
      const clipped = clip(line);
      if (clipped === line) continue;
      expect(clipped).toContain(line.startsWith("{") ? "[clipped by Holdfast: " : "holdfast.not_json");
      JSON.parse(clipped);
    }
  }
});

test.each([[[]], [[""]], [["", ""]], [["a", "", "b"]], [["x".repeat(300_000)]], [["", "x".repeat(300_000), "y"]]])(
  "lines survive being packed (%#)",
  async (texts) => {
    const packed = await packLines(texts.map((text, at) => ({ bytes: Buffer.from(text), start: at })));
    if (packed === undefined) return expect(texts).toEqual([]);
    const blobs = new Map(packed.blobs.map((blob) => [blob.hash, blob.size]));
    const lines = unpackLines(packed.batch).map((line) =>
      typeof line === "string" ? "x".repeat(blobs.get(line) ?? 0) : Buffer.from(line).toString(),
    );
    expect(lines).toEqual(texts);
  },
);

test("a line that is nested without end is clipped in linear time", () => {
  const depth = 100_000;
  const texts = Array.from({ length: 2_000 }, () => `{"data":"${"A".repeat(1_100)}"}`).join(",");
  const line = `{"a":${"[".repeat(depth)}${texts}${"]".repeat(depth)}}`;
  const before = process.threadCpuUsage();
  expect(clip(line)).toBe(line);
  const { user, system } = process.threadCpuUsage(before);
  // The way down for each of the texts would be 200 million steps.
  expect((user + system) / 1000).toBeLessThan(1_500);
});
