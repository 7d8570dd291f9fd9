import { expect, test } from "vitest";
import { parseScript } from "./parse-script.ts";

test("takes a full script and a bare list of turns", () => {
  const turn = { text: "hi", toolUse: { name: "Bash", input: { command: "ls" } }, delayMs: 0, cut: "mid_tool" };
  expect(parseScript({ when: { regex: "a+" }, turns: [turn], times: 2 })).toEqual({
    when: { regex: "a+" },
    turns: [turn],
    times: 2,
  });
  expect(parseScript([{ error: { status: 529, type: "overloaded_error", message: "busy", retryAfter: 1 } }])).toEqual({
    turns: [{ error: { status: 529, type: "overloaded_error", message: "busy", retryAfter: 1 } }],
  });
});

test.each<[unknown, RegExp]>([
  [{ turns: [{ txt: "misspelt" }] }, /turns\[0\]: there is no field "txt"/],
  [[{ cut: "middle" }], /\[0\]\.cut/],
  [[{ error: { status: 200 } }], /status: 400 to 599/],
  [[{ toolUse: [{ input: {} }] }], /toolUse\[0\]\.name/],
  [{ when: { regex: "(" }, turns: [] }, /regular expression/i],
  [{ when: {} }, /turns: a list/],
  [7, /an object is needed/],
])("names what is wrong in %j", (script, message) => {
  expect(() => parseScript(script)).toThrow(message);
});
