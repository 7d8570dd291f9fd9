import { createTestKit, eventsOf, spokenText, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { execStarts } from "./_seed.ts";

let kit: TestKit;
beforeAll(async () => {
  kit = await createTestKit({ record: true });
});
afterAll(() => kit?.[Symbol.asyncDispose]());

test("Claude works as claudeuser: the files and directories it makes are claudeuser's", async () => {
  const { events } = await kit.turn(
    "Create a file hello.txt that says hello, then make a directory marketing, then run `id -un`",
  );
  expect(eventsOf(events, "holdfast.turn_result")[0]).toMatchObject({ outcome: "completed", is_error: false });
  const results = eventsOf(events, "agent.tool_result").flatMap((event) => event.content);
  expect(JSON.stringify(results)).toContain("claudeuser");
  const owners = await kit.exec(["stat", "-c", "%u:%g %F", "/mnt/workspace/hello.txt", "/mnt/workspace/marketing"]);
  expect(owners.stdout.trim().split("\n")).toEqual(["1000:1000 regular file", "1000:1000 directory"]);
  expect((await kit.exec(["cat", "/mnt/workspace/hello.txt"])).stdout.trim()).toBe("hello");
});

test("the working directory goes through the real symlink; the event says /mnt/workspace", async () => {
  const { events } = await kit.turn("run `pwd -P`");
  expect(eventsOf(events, "holdfast.initialized")[0]).toMatchObject({ cwd: "/mnt/workspace", first: true });
  expect(JSON.stringify(eventsOf(events, "agent.tool_result"))).toMatch(/\/__modal\/volumes\/vo-/);
});

test("a conversation whose process has ended goes on with --resume", async () => {
  const { sessionId } = await kit.turn("Create a file memory.txt that says remembered");
  kit.recorder.clear();
  await kit.exec(["pkill", "-KILL", "-x", "claude"]);
  const { events } = await kit.turn("read memory.txt", { sessionId });
  const [start] = execStarts(kit.recorder.events, "exec 2");
  expect(start?.args).toContain("--resume");
  expect(eventsOf(events, "holdfast.initialized").filter((event) => event.first)).toEqual([]);
  expect(JSON.stringify(eventsOf(events, "agent.tool_result"))).toContain("remembered");
  expect(spokenText(events)).not.toBe("");
});
