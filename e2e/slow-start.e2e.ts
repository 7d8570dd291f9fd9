import { createTestKit, eventsOf, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

/** Claude Code that hangs before it asks the model. The real CLI, in its sandbox. */
let kit: TestKit;
const limitMs = 8_000;
beforeAll(async () => {
  const sandbox = { stallNoticeMs: 2_000, startLimitMs: limitMs };
  kit = await createTestKit({
    saves: false,
    adjust: (name, options) =>
      name === "server" ? { ...options, sandbox: { ...(options.sandbox as object), ...sandbox } } : options,
  });
  await kit.turn("hello");
});
afterAll(() => kit?.[Symbol.asyncDispose]());

const asUser = (command: string) =>
  kit.exec(["bash", "-c", 'cd /mnt/workspace/ && exec runuser -u claudeuser -- bash -c "$0"', command]);
const hook = (event: string) =>
  JSON.stringify({ hooks: { [event]: [{ hooks: [{ type: "command", command: "sleep 600" }] }] } });

const hangs = [
  {
    what: "a FIFO as .git/HEAD",
    make: "git init -q . && rm .git/HEAD && mkfifo .git/HEAD",
    undo: "rm -rf .git",
    says: /^Claude Code has not started yet, for \d+ seconds: .*\.git\/HEAD/,
    waiting: { waiting_for: "start" },
  },
  {
    what: "a hook of its start",
    make: `mkdir -p .claude && echo '${hook("SessionStart")}' > .claude/settings.json`,
    undo: "rm -rf .claude; pkill sleep",
    says: /^Claude Code has not started yet: it has waited for its hook SessionStart:startup for \d+ seconds/,
    waiting: { waiting_for: "hook", hook: "SessionStart:startup" },
  },
] as const;

test.each(hangs)(
  "$what is told as what it is, can be stopped, and ends in words",
  async ({ make, undo, says, waiting }) => {
    expect((await asUser(make)).code).toBe(0);
    const { sessionId, events } = await kit.turn("hello");
    const stalled = eventsOf(events, "holdfast.notice").filter(({ kind }) => kind === "stalled");
    // Lines that it prints before it hangs begin a silence of their own.
    expect(stalled).not.toEqual([]);
    for (const notice of stalled) expect(notice).toMatchObject({ text: expect.stringMatching(says), data: waiting });
    const [error] = eventsOf(events, "session.error");
    expect(error).toMatchObject({
      error: { message: expect.stringMatching(says) },
      holdfast: { code: "claude_start_failed" },
    });

    const stopping = kit.turn("hello", { sessionId });
    const { client } = kit.account;
    const notices = async () =>
      eventsOf(await kit.log(sessionId), "holdfast.notice").filter(({ kind }) => kind === "stalled");
    await expect.poll(async () => (await notices()).length, { timeout: 30_000 }).toBeGreaterThan(stalled.length);
    await client.beta.sessions.events.send(sessionId, { events: [{ type: "user.interrupt" }] });
    const stopped = await stopping;
    expect(eventsOf(stopped.events, "session.status_idle").at(-1)).toMatchObject({ holdfast: { outcome: "stopped" } });
    expect(eventsOf(stopped.events, "session.error")).toEqual([]);

    await asUser(undo);
    const after = await kit.turn("hello", { sessionId });
    expect(eventsOf(after.events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
  },
);
