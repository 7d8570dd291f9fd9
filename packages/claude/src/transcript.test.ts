import { expect, test } from "vitest";
import type { JsonObject } from "./json.ts";
import { TranscriptBuilder } from "./transcript.ts";

const user = (uuid: string, content: unknown, more: JsonObject = {}): JsonObject => ({
  type: "user",
  uuid,
  message: { role: "user", content },
  parent_tool_use_id: null,
  ...more,
});
const answer = (uuid: string, id: string, block: object, more: JsonObject = {}): JsonObject => ({
  type: "assistant",
  uuid,
  message: { id, role: "assistant", model: "m", content: [block] },
  parent_tool_use_id: null,
  ...more,
});
const text = (words: string) => ({ type: "text", text: words });
const call = (id: string) => ({ type: "tool_use", id, name: "Bash", input: {} });
const result = (id: string) => [{ type: "tool_result", tool_use_id: id, content: "ok" }];

function build(lines: JsonObject[], options: { maxChars?: number; without?: string[] } = {}) {
  const builder = new TranscriptBuilder(options);
  for (const line of lines) builder.add(line);
  const { rows, left } = builder.build("c");
  const parsed = rows.map((row) => JSON.parse(row) as JsonObject & { uuid: string; message: JsonObject });
  return { rows: parsed, ids: parsed.map(({ uuid }) => uuid), left, last: builder.lastAnswers(2) };
}

test("a long record is put together in a moment, and so are many blocks of one answer", () => {
  const builder = new TranscriptBuilder();
  for (let n = 0; n < 20_000; n++) builder.add(answer(`a${n}`, "m1", text("x".repeat(1_000))));
  const begunMs = process.cpuUsage().user;
  const { rows } = builder.build("c");
  // One long moment would hold up whatever else its process does: printed at the end, and quadratic, it took 3 s.
  expect((process.cpuUsage().user - begunMs) / 1000).toBeLessThan(500);
  expect(JSON.parse(rows.at(-1) ?? "")).toMatchObject({ parentUuid: "a19998", uuid: "a19999", sessionId: "c" });
});

test("rows hang on each other from the first message on", () => {
  const { rows, left, last } = build([user("u1", "one"), answer("a1", "m1", text("1")), user("u2", "two")]);
  expect(rows).toMatchObject([
    { type: "user", parentUuid: null, sessionId: "c", isSidechain: false, message: { content: "one" } },
    { type: "assistant", parentUuid: "u1", message: { type: "message", id: "m1" } },
    { type: "user", parentUuid: "a1" },
  ]);
  expect({ left, last }).toEqual({ left: 0, last: ["a1"] });
});

test("what the model was not shown is not in it, nor anything twice", () => {
  const { ids } = build([
    user("u1", "one"),
    user("u1", "one"),
    user("s1", "a subagent's", { parent_tool_use_id: "t1" }),
    answer("a0", "m0", text("API Error"), { error: "server_error" }),
    answer("a1", "m1", text("No response requested."), { message: { model: "<synthetic>", content: [] } }),
    user("u2", "<local-command-stdout>x</local-command-stdout>"),
    { type: "result", uuid: "r1" },
    answer("a2", "m2", text("yes")),
  ]);
  expect(ids).toEqual(["u1", "a2"]);
});

test("a message that is said again is not in it: the CLI would take it for one that it knows", () => {
  const lines = [user("u1", "one"), answer("a1", "m1", text("1")), user("u2", "two")];
  expect(build(lines, { without: ["u2"] }).ids).toEqual(["u1", "a1"]);
});

test("the blocks of an answer stand together, and every call has a result", () => {
  const { ids, rows } = build([
    user("u1", "go"),
    answer("a1", "m1", call("t1")),
    user("r1", result("t1")),
    answer("a2", "m1", call("t2")),
    answer("a3", "m2", text("done")),
    user("u2", "more"),
    answer("a4", "m3", call("t3")),
  ]);
  expect(ids).toEqual(["u1", "a1", "a2", expect.any(String), "r1", "a3", "u2", "a4", expect.any(String)]);
  const lost = (id: string) => ({ content: [{ type: "tool_result", tool_use_id: id, is_error: true }] });
  expect(rows[3]?.message).toMatchObject(lost("t2"));
  expect(rows[8]?.message).toMatchObject(lost("t3"));
});

test.each([{ type: "conversation_reset" }, { type: "system", subtype: "compact_boundary" }])(
  "%o begins anew",
  (line) => {
    expect(build([user("u1", "one"), answer("a1", "m1", text("1")), line, user("u2", "summary")]).ids).toEqual(["u2"]);
  },
);

test("what has no room is left from the beginning, up to a message of the user's", () => {
  const turn = (n: number) => [
    user(`u${n}`, "x".repeat(1_000)),
    answer(`a${n}`, `m${n}`, call(`t${n}`)),
    user(`r${n}`, result(`t${n}`)),
    answer(`b${n}`, `n${n}`, text("y".repeat(1_000))),
  ];
  const lines = [1, 2, 3].flatMap(turn);
  expect(build(lines, { maxChars: 6_000 })).toMatchObject({
    ids: [2, 3].flatMap((n) => [`u${n}`, `a${n}`, `r${n}`, `b${n}`]),
    left: 4,
  });
  expect(build(lines, { maxChars: 10 })).toMatchObject({ ids: [], left: 12 });
});
