import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { SessionEvent } from "@holdfast/protocol";
import { createTestKit, eventsOf, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type HeardModel, heardModel } from "./_heard-model.ts";

/** What becomes of a conversation when Claude Code's own record of it is not what it was. The real CLI, in its sandbox. */
let model: HeardModel;
let kit: TestKit;
beforeAll(async () => {
  model = await heardModel();
  kit = await createTestKit({ saves: false, adjust: model.adjust });
});
afterAll(async () => {
  await kit?.[Symbol.asyncDispose]();
  await model?.[Symbol.asyncDispose]();
});

const sh = (command: string) => kit.exec(["bash", "-c", command]);
const remember = async (word: string) =>
  (await kit.turn(`Remember the word ${word}, and run \`echo ${word}\``)).sessionId;
const notices = (events: SessionEvent[]) =>
  eventsOf(events, "holdfast.notice").filter(({ kind }) => kind.startsWith("memory_"));
const conversationOf = async (sessionId: string) =>
  eventsOf(await kit.log(sessionId), "holdfast.initialized").at(-1)?.claude_session_id ?? "";

/** The session's next process begins with the next message. */
async function endProcess(): Promise<void> {
  await sh("pkill -KILL -x claude; while pgrep -x claude; do sleep 0.05; done");
}

async function goOn(sessionId: string): Promise<{ events: SessionEvent[]; shown: string }> {
  const before = model.requests.length;
  const { events } = await kit.turn("What was the word?", { sessionId });
  const shown = JSON.stringify(model.requests.slice(before).map(({ body }) => body.messages));
  expect(JSON.stringify(eventsOf(events, "session.error"))).toBe("[]");
  expect(eventsOf(events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
  return { events, shown };
}

/** $f is the file. */
const damages: [name: string, command: string][] = [
  ["gone", "rm $f"],
  ["gone with all others", "rm -rf /mnt/state/.claude/projects"],
  ["gone with all of Claude Code's files", "rm -rf /mnt/state/.claude"],
  ["empty", ": > $f"],
  ["zeros", "head -c 5000 /dev/zero > $f"],
  ["noise", "head -c 5000 /dev/urandom > $f"],
  ["without its beginning", "sed -i '1,20d' $f"],
  ["without its end", "truncate -s $(($(stat -c %s $f) / 2)) $f"],
  ["without the answers", `grep -v '"type":"assistant"' $f > /tmp/cut; cat /tmp/cut > $f`],
  ["a directory", "rm $f; mkdir $f"],
  ["a directory with something in it", "rm $f; mkdir -p $f/x"],
  ["a FIFO", "rm $f; mkfifo $f"],
  ["a link that leads nowhere", "ln -sf /nowhere $f"],
  ["a link to what never ends", "ln -sf /dev/zero $f"],
  ["below a file", "rm -rf /mnt/state/.claude/projects; touch /mnt/state/.claude/projects"],
];

describe.each(damages)("a record that is %s", (_name, command) => {
  test("is made anew before Claude answers, which remembers, and stays so", async () => {
    const word = `EAGLE-${damages.findIndex(([, each]) => each === command)}`;
    const sessionId = await remember(word);
    await endProcess();
    const id = await conversationOf(sessionId);
    await sh(`f=$(ls /mnt/state/.claude/projects/*/${id}.jsonl); ${command}; chown -hR 1000:1000 /mnt/state/.claude`);
    const { events, shown } = await goOn(sessionId);
    expect(shown).toContain(`Remember the word ${word}`);
    expect(shown).toMatch(new RegExp(`"tool_result"[^}]*${word}`));
    const kinds = events.map((event) => (event.type === "holdfast.notice" ? event.kind : event.type));
    expect(kinds.filter((kind) => kind === "memory_rebuilt")).toHaveLength(1);
    expect(kinds.indexOf("memory_rebuilt")).toBeLessThan(kinds.indexOf("agent.message"));
    await endProcess();
    const again = await goOn(sessionId);
    expect(again.shown).toContain(`Remember the word ${word}`);
    expect(notices(again.events)).toEqual([]);
  });
});

test("one that cannot be read is opened, and nothing else is said", async () => {
  const sessionId = await remember("OSPREY");
  await endProcess();
  await sh(`chmod 0 /mnt/state/.claude/projects/*/${await conversationOf(sessionId)}.jsonl`);
  const { events, shown } = await goOn(sessionId);
  expect(shown).toContain("Remember the word OSPREY");
  expect(notices(events)).toEqual([]);
});

test("what is forgotten all the same is said before Claude answers, and the session goes on", async () => {
  const sessionId = await remember("HERON");
  await endProcess();
  const database = new DatabaseSync(join(kit.dataDir, "server", "server.sqlite"));
  database.prepare("DELETE FROM raw_batches WHERE session_id = ?").run(sessionId);
  database.close();
  await sh("rm -rf /mnt/state/.claude/projects");
  const { events, shown } = await goOn(sessionId);
  expect(shown).not.toContain("HERON");
  expect(notices(events)).toMatchObject([{ kind: "memory_forgotten", level: "warning", data: { found: "missing" } }]);
  const at = (type: string) => events.findIndex((event) => event.type === type);
  expect(at("holdfast.notice")).toBeLessThan(at("agent.message"));
  await endProcess();
  expect(notices((await goOn(sessionId)).events)).toEqual([]);
});

test("settings of Claude Code's own that are no JSON are put aside, and the session goes on", async () => {
  const sessionId = await remember("KITE");
  await endProcess();
  await sh("echo '{broken' > /mnt/state/.claude/.claude.json; chown 1000:1000 /mnt/state/.claude/.claude.json");
  const { events, shown } = await goOn(sessionId);
  expect(shown).toContain("KITE");
  expect(notices(events)).toMatchObject([{ kind: "memory_mended" }]);
  await sh("echo '{broken' > /mnt/state/.claude/.claude.json; chown 1000:1000 /mnt/state/.claude/.claude.json");
  const first = await kit.turn("hello");
  expect(eventsOf(first.events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
});

test("a message whose process was killed before Claude answered is said again, once", async () => {
  const turns = [
    { text: "First I wait.", delayMs: 4_000, toolUse: { name: "Bash", input: { command: "echo ran >> ran" } } },
  ];
  const script = `Please.\n\`\`\`holdfast-script\n${JSON.stringify([...turns, { text: "Done." }])}\n\`\`\``;
  const before = model.requests.length;
  const turning = kit.turn(script);
  await expect.poll(() => model.requests.length, { timeout: 60_000 }).toBeGreaterThan(before);
  // Another one is started at once.
  await sh("pkill -KILL -x claude");
  const { events } = await turning;
  expect(eventsOf(events, "holdfast.turn_result").map(({ outcome }) => outcome)).toEqual(["completed"]);
  expect(eventsOf(events, "holdfast.notice").map(({ kind }) => kind)).toEqual(["said_again"]);
  expect((await sh("cat /mnt/workspace/ran")).stdout).toBe("ran\n");
});

test("a deleted session's record is nowhere, nor what was put aside of it", async () => {
  const sessionId = await remember("MERLIN");
  await endProcess();
  const id = await conversationOf(sessionId);
  await sh(`f=$(ls /mnt/state/.claude/projects/*/${id}.jsonl); sed -i '1,20d' $f`);
  await goOn(sessionId);
  expect((await sh("grep -rl MERLIN /mnt/state/.claude | sort")).stdout).toMatch(/\.aside/);
  expect((await kit.fetch(`/v1/sessions/${sessionId}`, { method: "DELETE" })).status).toBe(200);
  await expect.poll(async () => (await sh("grep -rl MERLIN /mnt/state/ || echo none")).stdout).toBe("none\n");
  expect(readFileSync(join(kit.dataDir, "server", "server.sqlite")).includes("MERLIN")).toBe(false);
});
