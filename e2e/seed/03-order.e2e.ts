import { createTestKit, eventsOf, type TestKit } from "@holdfast/testkit";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { execStarts, stepOf, timeline } from "./_seed.ts";

let kit: TestKit;
beforeAll(async () => {
  kit = await createTestKit({ record: true });
});
afterAll(() => kit?.[Symbol.asyncDispose]());
afterEach(() => {
  kit.recorder.rewrite = undefined;
});

/** The first `count` permission steps become this shell command. */
function breakPermissionStep(count: number, command: string): void {
  let left = count;
  kit.recorder.rewrite = (method, request) => {
    if (method !== "TaskExecStart" || stepOf(request.commandArgs as string[]) !== "exec 1" || left === 0)
      return undefined;
    left -= 1;
    return { ...request, commandArgs: ["sh", "-c", command] };
  };
}

/** Waits until the sync of a turn, which runs after the session is idle, has ended. */
async function untilSynced(sessionId: string): Promise<void> {
  await expect
    .poll(
      async () =>
        eventsOf(await kit.log(sessionId), "holdfast.step").some(
          (step) => step.step === "sync" && step.state !== "running",
        ),
      {
        timeout: 30_000,
      },
    )
    .toBe(true);
}

test("SandboxCreate, exec 1, its exit 0, exec 2, then the sync: in this order", async () => {
  const { sessionId } = await kit.turn("Create a file order.txt that says in order");
  await untilSynced(sessionId);
  const line = timeline(kit.recorder.events);
  const wanted = ["SandboxCreate", "exec 1 start", "exec 1 exit 0", "exec 2 start", "sync start"];
  expect(line.filter((each) => wanted.includes(each))).toEqual(wanted);
});

test("when exec 1 fails, exec 2 never starts; the event says why and what to do; the next message works", async () => {
  const account = await kit.addAccount("exec one fails");
  kit.recorder.clear();
  breakPermissionStep(100, "echo 'volume on fire' >&2; exit 70");
  const { sessionId, events } = await kit.turn("list the files", { account });
  expect(execStarts(kit.recorder.events, "exec 2")).toEqual([]);
  const [error] = eventsOf(events, "session.error");
  expect(error?.holdfast).toMatchObject({
    code: "permissions_failed",
    exit_code: 70,
    output: expect.stringContaining("volume on fire"),
    remedy: expect.stringMatching(/\w+/),
  });
  kit.recorder.rewrite = undefined;
  const next = await kit.turn("list the files", { sessionId, account });
  expect(eventsOf(next.events, "session.error")).toEqual([]);
  expect(eventsOf(next.events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
});

test("a transient failure twice, then success: three attempts, each one logged", async () => {
  const account = await kit.addAccount("exec one stumbles");
  kit.recorder.clear();
  breakPermissionStep(2, "echo 'volume busy, try again' >&2; exit 75");
  const { events } = await kit.turn("list the files", { account });
  expect(execStarts(kit.recorder.events, "exec 1").length).toBe(3);
  expect(timeline(kit.recorder.events)).toEqual(
    expect.arrayContaining(["exec 1 exit 75", "exec 1 exit 0", "exec 2 start"]),
  );
  const attempts = eventsOf(events, "holdfast.step").filter((step) => step.step === "permissions");
  expect(new Set(attempts.map((step) => step.attempt).filter((attempt) => attempt !== undefined))).toEqual(
    new Set([1, 2, 3]),
  );
  expect(attempts.some((step) => step.detail?.includes("volume busy"))).toBe(true);
  expect(eventsOf(events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
});
