import { expect, test } from "vitest";
import { BadRequestError, readModelRequest } from "./request.ts";
import { TurnMemory } from "./turn-memory.ts";

const read = (messages: unknown[], extra: object = {}, memory?: TurnMemory) =>
  readModelRequest(
    { model: "m", messages, ...extra },
    { sessionId: "s1", sizeBytes: 400, ...(memory ? { turnStart: (at) => memory.start(at) } : {}) },
  );
const text = (words: string) => ({ type: "text", text: words });
const user = (...words: string[]) => ({ role: "user", content: words.map(text) });
const use = (id: string, name = "Bash") => ({
  role: "assistant",
  content: [{ type: "tool_use", id, name, input: { command: "ls" } }],
});
const result = (id: string, ...more: object[]) => ({
  role: "user",
  content: [{ type: "tool_result", tool_use_id: id, content: "out", is_error: true }, ...more],
});

test("finds the prompt among reminders, and the directory in the environment block", () => {
  const request = read([
    user("<system-reminder>\nnot this\n</system-reminder>\n", "do it"),
    { role: "system", content: "# Environment\n - Primary working directory: /srv/my dir\n - Platform: linux" },
  ]);
  expect(request.lastUserText).toBe("do it");
  expect(request.cwd).toBe("/srv/my dir");
  expect(read([user("x")]).cwd).toBe("/mnt/workspace");
});

test("collects tool calls and results since the prompt, across system messages", () => {
  const request = read([user("old"), use("t0"), result("t0"), use("t1"), user("new"), use("t2"), result("t2")]);
  expect(request.prompts).toEqual(["old", "new"]);
  expect(request.answered).toEqual([
    [{ id: "t2", name: "Bash", input: { command: "ls" }, result: { text: "out", isError: true } }],
  ]);
});

test("what the CLI says in the user's name ends no turn", () => {
  const request = read([user("go"), use("t1", "ToolSearch"), result("t1", text("Tool loaded."))]);
  expect(request.lastUserText).toBe("go");
  expect(request.answered).toHaveLength(1);
});

test("a message sent in mid-turn is told apart from a prompt", () => {
  const steer =
    "The user sent a new message while you were working:\nrun whoami\n\nThis is how Claude Code surfaces it.";
  const request = read([user("go"), use("t1"), result("t1"), { role: "system", content: steer }]);
  expect(request.lastUserText).toBe("go");
  expect(request.steered).toEqual(["run whoami"]);
});

test("a prompt after an interrupt stands alone", () => {
  const request = read([user("first", "[Request interrupted by user]", "second")]);
  expect(request.lastUserText).toBe("second");
  const afterTool = read([
    user("a"),
    use("t1"),
    result("t1", text("[Request interrupted by user for tool use]"), text("b")),
  ]);
  expect(afterTool.lastUserText).toBe("b");
  expect(afterTool.answered).toEqual([]);
});

test("queued prompts are answered together; one whose answer failed is not carried out again", () => {
  const memory = new TurnMemory();
  expect(read([user("one")], {}, memory).lastUserText).toBe("one");
  expect(read([user("one")], {}, memory).lastUserText).toBe("one");
  expect(read([user("one", "two")], {}, memory).lastUserText).toBe("two");
  expect(read([user("one", "two"), use("t"), result("t")], {}, memory).lastUserText).toBe("two");
  expect(
    read([user("one", "two"), use("t"), result("t"), use("u"), user("three", "four")], {}, memory).lastUserText,
  ).toBe("three\nfour");
});

test("knows which tools may be called and which must be loaded", () => {
  const tools = [{ name: "Bash" }, { name: "ToolSearch" }, { name: "WebFetch", defer_loading: true }];
  const list = "The following deferred tools are now available via ToolSearch. Use it.\nTodoWrite\nWebFetch\n\nMore";
  const request = read([user("x"), { role: "system", content: list }], { tools });
  expect([...request.tools]).toEqual(["Bash", "ToolSearch"]);
  expect([...request.deferredTools]).toEqual(["TodoWrite", "WebFetch"]);
});

test.each([null, [], "x", {}, { model: "m" }, { model: "m", messages: [] }, { messages: [user("x")] }])(
  "refuses %j in words",
  (body) => {
    expect(() => readModelRequest(body, { sizeBytes: 1 })).toThrow(BadRequestError);
  },
);

test("hostile bodies take linear time", () => {
  const startedAt = performance.now();
  const opened = "<system-reminder>".repeat(200_000);
  const listed = "deferred tools are now available via ToolSearch".repeat(100_000);
  read([
    user(opened),
    { role: "system", content: listed },
    user("The user sent a new message while you were working:\n".repeat(50_000)),
  ]);
  expect(performance.now() - startedAt).toBeLessThan(1500);
});
