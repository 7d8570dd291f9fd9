import { expect, test } from "vitest";
import { answer, answers, isQuery, parseQuestion, recordType } from "./dns-message.ts";

function query(name: string, type: number = recordType.a): Buffer {
  const labels = name.split(".").flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Buffer.from([0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, type, 0, 1]);
}

test("reads a question and answers it", () => {
  const asked = query("A.Example");
  const question = parseQuestion(asked);
  expect(question).toMatchObject({ name: "a.example", type: 1, class: 1 });
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
  ["another opcode", Buffer.concat([Buffer.from([0, 1, 0x10]), query("a.example").subarray(3)])],
])("refuses a message with %s", (_, message) => {
  expect(parseQuestion(message)).toBeUndefined();
});
