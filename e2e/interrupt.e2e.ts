import type Anthropic from "@anthropic-ai/sdk";
import { createTestKit, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { WatchedSession } from "./_watched-session.ts";

/** Stop and "now", pressed while the real CLI does whatever it can be doing. */
let kit: TestKit;
/** One conversation, one process: each test begins where the last one left them. */
let session: WatchedSession;
let gateway: { adminUrl: string; adminToken: string };
const figures: string[] = [];
beforeAll(async () => {
  kit = await createTestKit({
    saves: false,
    adjust: (name, options) => {
      if (name === "server") gateway = options.gateway as typeof gateway;
      return name === "gateway" ? { ...options, scriptedModel: { allowScripts: true } } : options;
    },
  });
  session = await WatchedSession.open(kit, { workspace });
});
beforeEach(() => session.forget());
afterAll(async () => {
  session?.[Symbol.dispose]();
  console.info(`from the press to session.status_idle: ${figures.join(", ")}`);
  await kit?.[Symbol.asyncDispose]();
});

/** Two seconds are promised; the rest is for a machine that does much else. */
const promptMs = 3_500;
const workspace = "stops";

const script = (tag: string, ...turns: object[]) =>
  `Turn ${tag}.\n\`\`\`holdfast-script\n${JSON.stringify(turns)}\n\`\`\``;
const slowly = { deltas: Array.from({ length: 400 }, (_, index) => `word ${index} `), delayMs: 50 };
const bash = (command: string) => ({ toolUse: { name: "Bash", input: { command, description: "test" } } });
const failing = (status: number, type: string) =>
  Array.from({ length: 12 }, () => ({ error: { status, type, message: "Not now.", retryAfter: 30 } }));
const askingAgent: Anthropic.Beta.Agents.AgentCreateParams = {
  name: "asks",
  model: "claude-opus-5-5",
  tools: [{ type: "agent_toolset_20260401", default_config: { permission_policy: { type: "always_ask" } } }],
};

async function another(options: Parameters<typeof WatchedSession.open>[1]): Promise<WatchedSession> {
  const opened = await WatchedSession.open(kit, options);
  onTestFinished(() => opened[Symbol.dispose]());
  return opened;
}

/** Presses twice; the turn is over in time, once. */
async function stop(session: WatchedSession, what: string, messageId?: string): Promise<void> {
  const [pressedMs] = await Promise.all([session.interrupt(messageId), session.interrupt(messageId)]);
  const { event, atMs } = await session.ended();
  figures.push(`${what} ${Math.round(atMs - pressedMs)} ms`);
  expect(event.holdfast?.outcome).toBe("stopped");
  expect(atMs - pressedMs).toBeLessThan(promptMs);
}

/** The message after it is answered, and the model is told what was said before. */
async function nextWorks(session: WatchedSession, tag: string): Promise<void> {
  await session.send(script(`${tag}, the next`, { text: "Here again." }));
  const { event } = await session.ended(2);
  expect(event.holdfast?.outcome).toBe("completed");
  expect(session.of("agent.message").at(-1)?.content[0]?.text).toBe("Here again.");
  expect((await earlier(`${tag}, the next`)).some((prompt) => prompt.startsWith(`Turn ${tag}.`))).toBe(true);
  expect(session.of("session.error")).toEqual([]);
}

/** What the conversation still knew when this prompt was answered. */
async function earlier(tag: string): Promise<string[]> {
  const headers = { authorization: `Bearer ${gateway.adminToken}` };
  const response = await fetch(`${gateway.adminUrl}/admin/record`, { headers });
  const { record } = (await response.json()) as { record: { lastUserText: string; earlierPrompts: string[] }[] };
  return record.filter((entry) => entry.lastUserText.startsWith(`Turn ${tag}.`)).at(-1)?.earlierPrompts ?? [];
}

/** What the user of the sandbox runs beside Claude itself. */
async function processes(): Promise<string[]> {
  const list = `for p in /proc/[0-9]*; do
    [ "$(stat -c %u $p 2>/dev/null)" = 1000 ] && tr '\\0' ' ' < $p/cmdline 2>/dev/null && echo; done; true`;
  const { stdout } = await kit.exec(["sh", "-c", list]);
  return stdout.split("\n").filter((line) => line.trim() !== "" && !/^(\S*\/)?claude /.test(line));
}

const runs = (what: string) => async () => (await processes()).some((line) => line.startsWith(what));

test("an answer that streams", async () => {
  await session.send(script("streaming", slowly));
  await session.streams();
  await stop(session, "streaming");
  expect(session.of("agent.message")[0]?.content[0]?.text).toMatch(/^word 0 word 1 /);
  await nextWorks(session, "streaming");
});

test("a command with children", async () => {
  const command = "echo begun; sleep 901 & sleep 902 | cat & (sh -c 'sleep 903; true' | cat) & sleep 904; wait";
  await session.send(script("bash", bash(command), { text: "Never." }));
  await session.until("agent.tool_use");
  for (const seconds of [901, 902, 903, 904]) await expect.poll(runs(`sleep ${seconds}`)).toBe(true);
  await stop(session, "a command");
  await expect.poll(processes).toEqual([]);
  expect(session.of("agent.tool_result")).toMatchObject([{ is_error: true }]);
  await nextWorks(session, "bash");
});

test.each([
  [529, "overloaded_error"],
  [500, "api_error"],
])("the wait before a retry after HTTP %i", async (status, type) => {
  await session.send(script(`retry ${status}`, ...failing(status, type)));
  await session.until("holdfast.notice", { matches: ({ kind }) => kind === "api_retry" });
  await stop(session, `retry after ${status}`);
  await nextWorks(session, `retry ${status}`);
});

test("a question that nobody has answered", async () => {
  const agent = (await kit.account.client.beta.agents.create(askingAgent)).id;
  const asking = await another({ workspace, agent });
  await asking.send(script("question", bash("touch never"), { text: "Never." }));
  await asking.until("holdfast.permission_request");
  await stop(asking, "a question");
  expect(asking.of("holdfast.permission_resolved")).toMatchObject([{ outcome: "withdrawn" }]);
  await nextWorks(asking, "question");
});

test("with a message that waits: it runs next, also when stop is pressed twice", async () => {
  const first = await session.send(script("first", slowly));
  await session.streams();
  await session.send(script("second", { text: "Second." }));
  await stop(session, "with one that waits", first);
  const { event } = await session.ended(2);
  expect(event.holdfast?.outcome).toBe("completed");
  expect(session.of("agent.message").at(-1)?.content[0]?.text).toBe("Second.");
  expect((await earlier("second")).some((prompt) => prompt.startsWith("Turn first."))).toBe(true);
});

test("the message that waits itself: it never runs, the turn before it goes on", async () => {
  await session.send(script("goes on", { ...slowly, deltas: slowly.deltas.slice(0, 60) }));
  await session.streams();
  const waits = await session.send(script("waits", { text: "Never." }));
  const pressedMs = await session.interrupt(waits);
  const removed = await session.until("holdfast.message", { matches: ({ state }) => state === "removed" });
  figures.push(`one that waits ${Math.round(removed.atMs - pressedMs)} ms`);
  expect(removed.event.message_id).toBe(waits);
  expect((await session.ended()).event.holdfast?.outcome).toBe("completed");
  expect(session.of("agent.message").map(({ content }) => content[0]?.text)).toEqual([
    slowly.deltas.slice(0, 60).join(""),
  ]);
});

test("while its sandbox is made ready", async () => {
  const account = await kit.addAccount("prepares");
  const fresh = await another({ workspace, account });
  await fresh.send(script("preparing", { text: "Never." }));
  await fresh.until("holdfast.step");
  await stop(fresh, "preparing");
  expect(fresh.of("agent.message")).toEqual([]);
  await fresh.send(script("preparing, the next", { text: "Here again." }));
  expect((await fresh.ended(2)).event.holdfast?.outcome).toBe("completed");
  expect(fresh.of("agent.message")).toHaveLength(1);
});

test("now, while an answer streams: it ends, the message runs at once, and knows what was said", async () => {
  await session.send(script("talks", slowly));
  await session.streams();
  await steer({ tag: "urgent", during: "talks" });
});

test("now, while a command runs: it is ended, the message runs at once", async () => {
  await session.send(script("works", bash("echo begun; sleep 911 & sleep 912"), { text: "Never." }));
  await session.until("agent.tool_use");
  await expect.poll(runs("sleep 912")).toBe(true);
  await steer({ tag: "urgent too", during: "works" });
  await expect.poll(processes).toEqual([]);
});

test("one message after the other that is to run now: what each has begun runs once", async () => {
  const note = (tag: string) => bash(`echo ${tag} >> ran-once; sleep 905`);
  const ran = async () => (await kit.exec(["cat", "/mnt/workspace/ran-once"])).stdout.trim().split("\n");
  const tags = ["begins", "urges", "urges more", "urges most"];
  for (const [at, tag] of tags.entries()) {
    await session.send(script(tag, note(`'${tag}'`)), at === 0 ? undefined : { delivery: "now" });
    await expect.poll(ran, { timeout: 60_000 }).toContain(tag);
  }
  await session.send(script("calms", { text: "Enough." }), { delivery: "now" });
  await session.until("session.status_idle", { matches: (e) => e.holdfast?.outcome === "completed" });
  await session.send(script("after", { text: "Here again." }));
  await session.ended(2);
  expect(session.of("agent.message").map(({ content }) => content[0]?.text)).toEqual(["Enough.", "Here again."]);
  expect(await ran()).toEqual(tags);
  expect(session.of("session.error")).toEqual([]);
});

async function steer({ tag, during }: { tag: string; during: string }): Promise<void> {
  const sentMs = performance.now();
  const urgent = await session.send(script(tag, { text: "At once." }), { delivery: "now" });
  const { atMs } = await session.until("session.status_idle", { matches: (e) => e.holdfast?.outcome === "completed" });
  figures.push(`now, while it ${during}: answered after ${Math.round(atMs - sentMs)} ms`);
  expect(session.of("holdfast.message")).toContainEqual(
    expect.objectContaining({ message_id: urgent, state: "steered" }),
  );
  expect(session.of("agent.message").at(-1)?.content[0]?.text).toBe("At once.");
  expect((await earlier(tag)).some((prompt) => prompt.startsWith(`Turn ${during}.`))).toBe(true);
  expect(session.of("session.error")).toEqual([]);
}
