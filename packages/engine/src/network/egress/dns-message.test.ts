import { expect, test } from "vitest";
import { answer, answers, isQuery, parseQuestion } from "./dns-message.ts";

function query(name: string, type = 1): Buffer {
  const labels = name.split(".").flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Buffer.from([0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, type, 0, 1]);
}

test("reads a question and answers it", () => {
  const asked = query("A.Example");
  const question = parseQuestion(asked);
  expect(question).toMatchObject({ name: "a.example", type: "A", class: "IN" });
  const response = answer(asked, question, { addresses: ["100.127.255.1"] });
  expect(response.readUInt16BE(0)).toBe(0xabcd);
  expect(isQuery(response)).toBe(false);
  expect(response.readUInt16BE(6)).toBe(1);
  expect([...response.subarray(-4)]).toEqual([100, 127, 255, 1]);
  expect(answers(response, asked)).toBe(true);
});

test("takes an answer for its own question only", () => {
  const asked = query("a.example");
  const good = answer(asked, parseQuestion(asked), {});
  const otherId = Buffer.from(good);
  otherId.writeUInt16BE(1, 0);
  const other = query("b.example");
  expect(answers(otherId, asked)).toBe(false);
  expect(answers(answer(other, parseQuestion(other), {}), asked)).toBe(false);
  expect(answers(asked, asked)).toBe(false);
});

test.each([
  ["too short", Buffer.alloc(11)],
  ["no question", Buffer.alloc(40)],
  ["cut in its name", query("a.example").subarray(0, 18)],
  ["cut after its name", query("a.example").subarray(0, -3)],
  ["a pointer as name", Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1])],
  ["a name without end", Buffer.concat([query("a").subarray(0, 12), Buffer.alloc(600, 1)])],
  ["a dot inside a label", Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 97, 46, 98, 0, 0, 1, 0, 1])],
  ["bytes that are no text", Buffer.concat([query("a").subarray(0, 12), Buffer.from([2, 0xff, 0xfe, 0, 0, 1, 0, 1])])],
  ["a dot at the end of a label", Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 97, 46, 0, 0, 1, 0, 1])],
  ["another opcode", Buffer.concat([Buffer.from([0, 1, 0x10]), query("a.example").subarray(3)])],
])("refuses a message with %s", (_, message) => {
  expect(parseQuestion(message)).toBeUndefined();
});

test("a type that nobody knows keeps its number on the way", () => {
  const asked = query("a.example", 65);
  const response = answer(asked, parseQuestion(asked), {});
  expect(parseQuestion(asked)).toMatchObject({ type: "UNKNOWN_65" });
  expect(response.subarray(12)).toEqual(asked.subarray(12));
  expect(answers(response, asked)).toBe(true);
});

test("what stands behind the question is not read", () => {
  const many = Buffer.concat([query("a.example"), Buffer.alloc(60_000, 0xc0)]);
  many.writeUInt16BE(0xffff, 6);
  many.writeUInt16BE(0xffff, 10);
  expect(parseQuestion(many)).toMatchObject({ name: "a.example" });
});
