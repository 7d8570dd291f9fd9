import { createMapperState, decodeLine, mapLine } from "@holdfast/claude";
import type { NewEvent } from "@holdfast/protocol";
import { mintSandboxToken } from "@holdfast/std";
import { createTestKit, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { secretsOf } from "./_seed.ts";

let kit: TestKit;
beforeAll(async () => {
  kit = await createTestKit();
  await kit.turn("list the files");
});
afterAll(() => kit?.[Symbol.asyncDispose]());

const prompt = "Create a file pty.txt that says seen, then run `printf 'a\\033[31mb\\033[0m\\n'`";

/** The seed's own exec 2: the prompt as an argument. Returns what it printed. */
async function seedExec(pty: boolean): Promise<string> {
  const token = await mintSandboxToken(secretsOf(kit).gatewayTokenSecret, {
    acc: kit.account.id,
    wsp: "wsp_seed",
    exp: Math.floor(Date.now() / 1000) + 600,
    jti: `seed-${pty}`,
  });
  const sandbox = await kit.sandbox();
  const process = await sandbox.exec(
    [
      "runuser",
      "-u",
      "claudeuser",
      "--",
      "claude",
      "-p",
      prompt,
      "--output-format",
      "stream-json",
      "--verbose",
      "--dangerously-skip-permissions",
    ],
    {
      pty,
      workdir: "/mnt/workspace",
      timeoutMs: 60_000,
      env: {
        ANTHROPIC_BASE_URL: "http://gateway.holdfast.internal:4601",
        ANTHROPIC_API_KEY: token,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
        HOME: "/mnt/state",
        CLAUDE_CONFIG_DIR: `/mnt/state/seed-${pty}`,
      },
    },
  );
  if (!pty) await process.stdin.close();
  const text = await process.stdout.readText();
  expect(await process.wait()).toBe(0);
  await kit.exec(["rm", "-f", "/mnt/workspace/pty.txt"]);
  return text;
}

/** What the codec makes of the output, without what differs from run to run. */
function shapes(output: string): unknown[] {
  let state = createMapperState();
  const events: NewEvent[] = [];
  for (const line of output.split("\n")) {
    const decoded = decodeLine(line);
    if (decoded.kind !== "json") continue;
    const mapped = mapLine(state, decoded, { sessionId: "sesn_pty", workspaceMount: "/mnt/workspace", scripted: true });
    state = mapped.state;
    events.push(...mapped.events);
  }
  return events.map((event) => {
    if (event.type === "agent.message") return [event.type, event.content];
    if (event.type === "agent.tool_use") return [event.type, event.name, event.input];
    if (event.type === "agent.tool_result") return [event.type, event.content, event.is_error];
    return [event.type];
  });
}

test("a terminal around Claude yields the same events as pipes", async () => {
  const pipes = await seedExec(false);
  const terminal = await seedExec(true);
  expect(terminal).toContain("\r\n");
  expect(pipes).not.toContain("\r\n");
  const wanted = shapes(pipes);
  expect(wanted.map((shape) => (shape as string[])[0])).toEqual(
    expect.arrayContaining(["holdfast.initialized", "agent.tool_use", "agent.tool_result", "holdfast.turn_result"]),
  );
  expect(shapes(terminal)).toEqual(wanted);
});
