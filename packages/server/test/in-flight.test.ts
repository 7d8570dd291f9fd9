import type { EventOf, SessionEvent } from "@holdfast/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { answering, isInterrupt } from "./_claude-lines.ts";
import type { Line } from "./_local-claude.ts";
import { endsOf, type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";
import { capture, replaying } from "./_replay.ts";

/** Several messages in Claude's hands at once, as the real CLI was seen to deal with them. */
let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem();
});
afterAll(() => it?.[Symbol.asyncDispose]());

const of = <T extends SessionEvent["type"]>(events: SessionEvent[], type: T) =>
  events.filter((event): event is EventOf<T> => event.type === type);
const words = (events: SessionEvent[]) => of(events, "agent.message").map(({ content }) => content[0]?.text);
const results = (events: SessionEvent[]) => of(events, "holdfast.turn_result").map(({ outcome }) => outcome);
const isUser = ({ type }: Line) => type === "user";
const now = (text: string) => ({
  type: "user.message",
  content: [{ type: "text", text }],
  holdfast: { delivery: "now" },
});

/** Sends the capture's first message, and gives it to Claude. */
async function begin(name: string, options?: Parameters<typeof replaying>[1]) {
  it.sandboxes.stage.script = replaying(name, { ...options, afterwards: answering });
  const started = it.sandboxes.stage.started.length;
  const session = await it.session();
  const [first = "", ...others] = capture(name).messages;
  const id = await session.send(first);
  const claude = await it.sandboxes.stage.claude(started);
  await claude.hears(isUser);
  return { session, claude, id, others };
}

/** The session ended once, with nothing open, and takes the next message. */
async function settled(session: LocalSession): Promise<SessionEvent[]> {
  const events = await session.idle();
  expect(it.rows("select distinct state from messages where session_id = ?", session.id)).toEqual([{ state: "done" }]);
  expect(await session.status()).toBe("idle");
  const calls = of(events, "agent.tool_use").map(({ id }) => id);
  expect(of(events, "agent.tool_result").map((each) => each.tool_use_id)).toEqual(calls);
  expect(endsOf(events)).toHaveLength(1);
  expect(of(events, "session.status_running")).toHaveLength(1);
  expect(of(events, "session.error")).toEqual([]);
  await session.send("and now");
  expect(words(await session.idle(2)).at(-1)).toBe("You said: and now");
  expect(await session.outcomes()).toHaveLength(2);
  return events;
}

async function bothInHand(session: LocalSession, others: readonly string[]): Promise<void> {
  await session.post(...others.map(now));
  await session.until("it is sent, too", (events) =>
    of(events, "holdfast.message").some((each) => each.state === "steered"),
  );
}

test.each(["steer-mid-turn", "v2.1.197/steer-mid-turn"])(
  "%s: folded into the turn whose tool runs, both end with it",
  async (name) => {
    const { session, others } = await begin(name);
    await session.until("the tool", (events) => of(events, "agent.tool_use").length === 1);
    await session.post(...others.map(now));
    const events = await settled(session);
    expect(words(events)).toEqual(["Answer that has seen both messages."]);
    expect(results(events)).toHaveLength(1);
    expect(of(events, "user.message")).toHaveLength(2);
  },
);

test("v2.1.197/steer-priority-now: the answer that streams is cut off, the message runs at once", async () => {
  const { session, others } = await begin("v2.1.197/steer-priority-now");
  await session.until("its start", (events) => of(events, "holdfast.initialized").length === 1);
  await session.post(...others.map(now));
  const events = await settled(session);
  expect(words(events)).toEqual(["A long answer that is be", "Urgent answer."]);
  expect(results(events)).toEqual(["stopped", "completed"]);
  expect(endsOf(events)[0]?.holdfast?.outcome).toBe("completed");
});

test("v2.1.197/multi-turn-queued: two that waited in the CLI are one turn, and end together", async () => {
  const { session, others } = await begin("v2.1.197/multi-turn-queued");
  await session.post(...others.map(now));
  const events = await settled(session);
  expect(words(events)).toEqual(["Answer number one.", "Answer number two."]);
  expect(results(events)).toEqual(["completed", "completed"]);
  const states = of(events, "holdfast.message").map(({ message_id, state }) => [message_id, state]);
  const [, ...steering] = of(events, "user.message").map(({ id }) => id);
  expect(states.filter(([, state]) => state === "steered")).toEqual(steering.map((id) => [id, "steered"]));
});

test.each(["interrupt-queued", "v2.1.197/interrupt-queued"])(
  "%s: the first is stopped, the one behind it runs",
  async (name) => {
    const { session, claude, id, others } = await begin(name);
    await session.post(...others.map(now));
    await session.interrupt(id);
    const events = await settled(session);
    expect(words(events).at(-1)).toBe("Answer to the queued message.");
    expect(results(events)).toEqual(["stopped", "completed"]);
    expect(endsOf(events)[0]?.holdfast?.outcome).toBe("completed");
    // It is wanted still.
    const asked = claude.heard.filter(isInterrupt).map(({ request }) => (request as Line).cancel_queued === true);
    expect(asked).not.toContain(true);
  },
);

test("interrupt-cancel-queued: both are stopped, the CLI gives up the one it had not begun", async () => {
  const { session, others } = await begin("interrupt-cancel-queued");
  await bothInHand(session, others);
  await session.interrupt();
  const events = await settled(session);
  expect(words(events)).toEqual(["A long answe"]);
  expect(endsOf(events)[0]?.holdfast?.outcome).toBe("stopped");
});

test("v2.1.197/interrupt-cancel-queued: an older CLI runs the other one all the same, and it is over with its end", async () => {
  const { session, others } = await begin("v2.1.197/interrupt-cancel-queued");
  await bothInHand(session, others);
  await session.interrupt();
  const events = await settled(session);
  expect(words(events)).toHaveLength(2);
  expect(results(events)).toEqual(["stopped", "completed"]);
});

test("cancel-queued-message: one that the CLI gave up has no end of its own, the turn before it has", async () => {
  // This server asks for it only together with an interrupt.
  const unheard = ({ type }: Line) => type === "control_request";
  const { session, others } = await begin("cancel-queued-message", { unheard });
  await session.post(...others.map(now));
  const events = await settled(session);
  expect(words(events)).toEqual(["A long answer streamed slowly, slowly, slowly."]);
  expect(results(events)).toEqual(["completed"]);
});

test("v2.1.197/two-results-text: what the result repeats is not said again", async () => {
  const { session } = await begin("v2.1.197/two-results-text");
  const events = await settled(session);
  expect(words(events)).toEqual(["Before.", "After the call, in the same message.", "Part one. ", "Part two."]);
  expect(results(events)).toEqual(["completed"]);
});
