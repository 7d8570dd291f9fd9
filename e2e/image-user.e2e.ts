import { createTestKit, eventsOf } from "@holdfast/testkit";
import { expect, test } from "vitest";

// Modal ran execs as the image's USER in 2024 and ignores it today; the template ends with `USER root` for that reason.
test.each([
  ["honoured, as in 2024", true],
  ["ignored, as today", false],
])("a turn works where the image's USER is %s", async (_what, honourImageUser) => {
  await using kit = await createTestKit({
    saves: false,
    adjust: (name, options) => (name === "engine" ? { ...options, honourImageUser } : options),
  });
  const { events } = await kit.turn("Create a file user.txt that says user, then run `id -un`");
  expect(eventsOf(events, "holdfast.turn_result")[0]).toMatchObject({ outcome: "completed", is_error: false });
  expect(JSON.stringify(eventsOf(events, "agent.tool_result"))).toContain("claudeuser");
  expect((await kit.exec(["stat", "-c", "%u:%g", "/mnt/workspace/user.txt"])).stdout.trim()).toBe("1000:1000");
});
