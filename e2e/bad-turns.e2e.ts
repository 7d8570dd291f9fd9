import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTestKit, eventsOf, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

let kit: TestKit;
beforeAll(async () => {
  kit = await createTestKit();
});
afterAll(() => kit?.[Symbol.asyncDispose]());

test("Claude exiting at its start: exit code, its words and the way out; the next message works", async () => {
  const { sessionId } = await kit.turn("Create a file before.txt that says before");
  await kit.exec([
    "sh",
    "-c",
    "mv /usr/local/bin/claude /usr/local/bin/claude.real && printf '#!/bin/sh\\necho the licence daemon is asleep >&2\\nexit 3\\n' > /usr/local/bin/claude && chmod 755 /usr/local/bin/claude && pkill -KILL -f 'claude.* -p ' || true",
  ]);
  const broken = await kit.turn("list the files", { sessionId });
  const [error] = eventsOf(broken.events, "session.error");
  expect(error?.holdfast).toMatchObject({
    code: "claude_start_failed",
    exit_code: 3,
    output: expect.stringContaining("the licence daemon is asleep"),
    remedy: expect.stringMatching(/\w/),
  });
  await kit.exec(["mv", "-f", "/usr/local/bin/claude.real", "/usr/local/bin/claude"]);
  const next = await kit.turn("list the files", { sessionId });
  expect(eventsOf(next.events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
  expect(JSON.stringify(next.events)).toContain("before.txt");
});

test("a sandbox that is terminated in the middle of a turn: the turn ends as interrupted, the next message works", async () => {
  const account = await kit.addAccount("sandbox dies");
  const { sessionId } = await kit.turn("Create a file survives.txt that says survives", { account });
  const running = kit.turn("run `sleep 60`", { sessionId, account });
  await expect
    .poll(
      async () =>
        eventsOf(await kit.log(sessionId, account), "agent.tool_use").some((event) =>
          JSON.stringify(event.input).includes("sleep 60"),
        ),
      {
        timeout: 30_000,
      },
    )
    .toBe(true);
  const sandbox = await kit.sandbox(account);
  await sandbox.terminate();
  const { events } = await running;
  expect(eventsOf(events, "session.error")[0]?.holdfast?.remedy).toMatch(/\w/);
  expect(eventsOf(events, "session.status_idle")[0]?.holdfast?.outcome).toBe("interrupted");
  const next = await kit.turn("list the files", { sessionId, account });
  expect(JSON.stringify(next.events)).toContain("survives.txt");
});

test("stop ends a running command within two seconds, and may be pressed twice", async () => {
  const account = await kit.addAccount("stops");
  const { sessionId } = await kit.turn("list the files", { account });
  const running = kit.turn("run `sleep 61`", { sessionId, account });
  await expect
    .poll(
      async () =>
        eventsOf(await kit.log(sessionId, account), "agent.tool_use").some((event) =>
          JSON.stringify(event.input).includes("sleep 61"),
        ),
      {
        timeout: 30_000,
      },
    )
    .toBe(true);
  const pressed = performance.now();
  for (let i = 0; i < 2; i++)
    await account.client.beta.sessions.events.send(sessionId, { events: [{ type: "user.interrupt" }] });
  const { events } = await running;
  expect(performance.now() - pressed).toBeLessThan(4000);
  expect(eventsOf(events, "session.status_idle")[0]?.holdfast?.outcome).toBe("stopped");
  expect((await kit.exec(["pgrep", "-f", "sleep 61"], { account })).stdout.trim()).toBe("");
  const next = await kit.turn("run `echo going on`", { sessionId, account });
  expect(JSON.stringify(next.events)).toContain("going on");
});

test("a full disk during a turn: said, everything committed is kept, and the session goes on when there is space", async () => {
  const dir = mkdtempSync(join(tmpdir(), "holdfast-full-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=192m,mode=0711", "holdfast-full", dir]);
  try {
    await using small = await createTestKit({ dataDir: dir });
    const { sessionId } = await small.turn("Create a file first.txt that says first");
    const before = await small.log(sessionId);
    fill(join(dir, "ballast"));
    const answer = await small.fetch(`/v1/sessions/${sessionId}/events`, {
      method: "POST",
      body: JSON.stringify({
        events: [{ type: "user.message", content: [{ type: "text", text: "run `seq 100000`" }] }],
      }),
    });
    const text = await answer.text();
    if (answer.status !== 200) expect(text, String(answer.status)).toMatch(/disk/i);
    rmSync(join(dir, "ballast"));
    await expect
      .poll(
        async () => ((await (await small.fetch(`/v1/sessions/${sessionId}`)).json()) as { status: string }).status,
        { timeout: 60_000 },
      )
      .toBe("idle");
    const next = await small.turn("list the files", { sessionId });
    expect(JSON.stringify(next.events)).toContain("first.txt");
    expect((await small.log(sessionId)).slice(0, before.length)).toEqual(before);
  } finally {
    execFileSync("umount", [dir]);
    rmSync(dir, { recursive: true });
  }
});

/** Writes until nothing more fits. */
function fill(path: string): void {
  const file = openSync(path, "w");
  for (const size of [1024 * 1024, 4096, 1]) {
    const block = Buffer.alloc(size, 1);
    try {
      for (;;) writeSync(file, block);
    } catch {
      // Full, which is what we want.
    }
  }
  closeSync(file);
}
