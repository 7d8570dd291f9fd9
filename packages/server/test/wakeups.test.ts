import { randomUUID } from "node:crypto";
import type { BackgroundTask, SessionEvent } from "@holdfast/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { answering, begin, init, isInterrupt, result, stopped, toolUse } from "./_claude-lines.ts";
import type { Line, LocalClaude } from "./_local-claude.ts";
import { type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";

/** When wake-ups are due is the test's to say. */
const clock = { nowMs: Date.parse("2026-11-29T10:00:00Z"), now: () => clock.nowMs };
const minutes = (n: number) => n * 60_000;

let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem({}, { clock, leaseTimings: { beatMs: 1_000, deadMs: 12_000, lookMs: 50 } });
});
afterAll(() => it?.[Symbol.asyncDispose]());

const answered = (id: string, details: Line): Line => ({
  type: "user",
  message: { role: "user", content: [{ type: "tool_result", tool_use_id: id, content: "Scheduled." }] },
  parent_tool_use_id: null,
  tool_use_result: details,
  uuid: randomUUID(),
});

const wakeup = (prompt: string, dueAt: number): Line[] => {
  const id = `toolu_${randomUUID()}`;
  return [
    toolUse(id, "ScheduleWakeup", { delaySeconds: 60, reason: `look at ${prompt}`, prompt }),
    answered(id, { scheduledFor: dueAt, clampedDelaySeconds: 60, wasClamped: false }),
  ];
};

const cron = (prompt: string, dueAt: number, { expression = "*/5 * * * *", recurring = true } = {}): Line[] => {
  const id = `toolu_${randomUUID()}`;
  return [
    toolUse(id, "CronCreate", { cron: expression, prompt, recurring }),
    answered(id, { id: `job-${prompt}`, recurring, durable: false, nextFireAt: dueAt, maxAgeMs: minutes(43_200) }),
  ];
};

const fired = (source: "loop_wakeup" | "schedule_wakeup"): Line => ({
  type: "command_lifecycle",
  command_uuid: randomUUID(),
  state: "started",
  wakeup_source: source,
});

/** A session whose first turn printed these; its process lives. */
async function armed(lines: Line[], then: (claude: LocalClaude) => Promise<void> = answering) {
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    claude.print(...lines, result([user]));
    await then(claude);
  };
  const session = await it.session();
  await session.send("arm");
  await session.idle();
  const claude = it.sandboxes.stage.started.at(-1) as LocalClaude;
  it.sandboxes.stage.script = answering;
  return { session, claude };
}

const ended = async (session: LocalSession, claude: LocalClaude) => {
  await claude.exit(0);
  await session.until(
    "its end",
    () => it.rows("select id from processes where session_id = ? and state <> 'ended'", session.id).length === 0,
  );
};
const woken = (events: SessionEvent[]) =>
  events.flatMap((event) =>
    event.type === "user.message" && event.holdfast?.wakeup_id !== undefined ? [event.content[0]] : [],
  );
const backgroundOf = async (session: LocalSession) =>
  ((await session.call("GET", `/v1/sessions/${session.id}`)).body.holdfast as { background: BackgroundTask[] })
    .background;

/** Everything that is due now was looked at. */
async function looked(): Promise<void> {
  const { session, claude } = await armed(wakeup("witness", clock.nowMs - 1));
  // It is due: another process may begin as soon as this one has ended.
  await claude.exit(0);
  await session.until("the witness", (events) => woken(events).length === 1);
}

test("a wake-up whose process has ended is sent once, and Claude goes on", async () => {
  const { session, claude } = await armed(wakeup("WAKE", clock.nowMs + minutes(12)));
  expect(await backgroundOf(session)).toMatchObject([{ kind: "wakeup", description: "look at WAKE" }]);
  await ended(session, claude);
  await looked();
  expect(woken(await session.events())).toEqual([]);
  clock.nowMs += minutes(13);
  const events = await session.idle(2);
  expect(woken(events)).toEqual([{ type: "text", text: "WAKE" }]);
  expect(await session.outcomes()).toEqual(["completed", "completed"]);
  await looked();
  expect(woken(await session.events())).toHaveLength(1);
  expect(await backgroundOf(session)).toEqual([]);
  const said = (await session.eventsOf("holdfast.wakeup")).map(({ state }) => state);
  expect(said).toEqual(["scheduled", "fired"]);
});

test("as long as its process lives Claude Code fires it, and its line marks the row", async () => {
  const { session, claude } = await armed(wakeup("SELF", clock.nowMs + minutes(1)));
  clock.nowMs += minutes(2);
  await looked();
  expect(woken(await session.events())).toEqual([]);
  claude.print(fired("loop_wakeup"), init(claude), result([]));
  await session.idle(2);
  await ended(session, claude);
  await looked();
  expect(woken(await session.events())).toEqual([]);
  expect((await session.eventsOf("holdfast.wakeup")).map(({ state }) => state)).toEqual(["scheduled", "fired"]);
});

test("what became due while no server ran is made good once; a job waits for its next time", async () => {
  const due = Math.ceil(clock.nowMs / minutes(5)) * minutes(5) + 7_000;
  const { session, claude } = await armed([...cron("JOB", due), ...wakeup("LATE", clock.nowMs + minutes(3))]);
  await ended(session, claude);
  await it.stopServer();
  clock.nowMs += minutes(60);
  await it.restart();
  await session.until("both", (events) => woken(events).length >= 2);
  // One turn for both, or two.
  await expect.poll(() => session.status()).toBe("idle");
  const process = it.sandboxes.stage.started.at(-1) as LocalClaude;
  await ended(session, process);
  await looked();
  expect(
    woken(await session.events())
      .map((block) => (block as { text: string }).text)
      .sort(),
  ).toEqual(["JOB", "LATE"]);
  const [job] = await backgroundOf(session);
  const next = Date.parse(job?.due_at ?? "");
  expect(next).toBeGreaterThan(clock.nowMs);
  expect([next % minutes(5), next - clock.nowMs <= minutes(5) + 7_000]).toEqual([7_000, true]);
});

test("the newest wake-up counts, and a job that Claude takes back never comes", async () => {
  const id = `toolu_${randomUUID()}`;
  const { session, claude } = await armed([
    ...wakeup("FIRST", clock.nowMs + minutes(1)),
    ...wakeup("SECOND", clock.nowMs + minutes(2)),
    ...cron("GONE", clock.nowMs + minutes(1), { recurring: false }),
    toolUse(id, "CronDelete", { id: "job-GONE" }),
    answered(id, { id: "job-GONE" }),
  ]);
  expect((await backgroundOf(session)).map(({ description }) => description)).toEqual(["look at SECOND"]);
  await ended(session, claude);
  clock.nowMs += minutes(5);
  await session.idle(2);
  await looked();
  expect(woken(await session.events())).toEqual([{ type: "text", text: "SECOND" }]);
});

test("one that was stopped here does not come, whoever would fire it", async () => {
  const { session, claude } = await armed(wakeup("UNWANTED", clock.nowMs + minutes(1)), async (each) => {
    await each.next(isInterrupt);
    each.print(stopped([]));
    await answering(each);
  });
  const [task] = await backgroundOf(session);
  const at = `/v1/sessions/${session.id}/background/${task?.id}/stop`;
  expect((await session.call("POST", at, {})).status).toBe(200);
  expect([await backgroundOf(session), (await session.call("POST", at, {})).status]).toEqual([[], 404]);
  claude.print(fired("loop_wakeup"), init(claude));
  await session.idle(2);
  expect(await session.outcomes()).toEqual(["completed", "stopped"]);
  await ended(session, claude);
  clock.nowMs += minutes(2);
  await looked();
  expect(woken(await session.events())).toEqual([]);
});

test("archived and deleted sessions are never woken", async () => {
  const archived = await armed(wakeup("ARCHIVED", clock.nowMs + minutes(1)));
  const deleted = await armed(wakeup("DELETED", clock.nowMs + minutes(1)));
  await archived.session.call("POST", `/v1/sessions/${archived.session.id}/archive`, {});
  expect((await deleted.session.call("DELETE", `/v1/sessions/${deleted.session.id}`)).status).toBe(200);
  await archived.claude.ended();
  clock.nowMs += minutes(2);
  await looked();
  expect(woken(await archived.session.events())).toEqual([]);
  expect(it.rows("select id from wakeups where session_id = ?", deleted.session.id)).toEqual([]);
});
