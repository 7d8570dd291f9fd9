import { createTestKit, eventsOf, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { holdfast } from "./_machine.ts";
import { terminal } from "./_pty.ts";

/** One HOME for everybody who works in a workspace. */
let kit: TestKit;
let sessionId: string;
beforeAll(async () => {
  kit = await createTestKit({ saves: false });
  ({ sessionId } = await kit.turn("hello"));
});
afterAll(() => kit?.[Symbol.asyncDispose]());

const env = () => ({ HOLDFAST_URL: kit.url, HOLDFAST_API_KEY: kit.account.apiKey });

/** Runs a command of the shell's, and gives what it said. */
const people: Record<string, (command: string) => Promise<string>> = {
  "Claude's Bash": async (command) => {
    const use = { name: "Bash", input: { command, description: "test" } };
    const turns = [{ text: "I run it.", toolUse: use }, { text: "Done." }];
    const script = `Please.\n\`\`\`holdfast-script\n${JSON.stringify(turns)}\n\`\`\``;
    const { events } = await kit.turn(script, { sessionId });
    return JSON.stringify(eventsOf(events, "agent.tool_result").map(({ content }) => content));
  },
  exec: async (command) => {
    const { code, stdout, stderr } = await holdfast(["exec", sessionId, "--", "sh", "-c", command], env());
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return stdout;
  },
  "the shell": async (command) => {
    const shell = terminal(["sh", sessionId], env());
    await shell.until("$ ");
    shell.type(`${command}; echo "the e""nd"\n`);
    await shell.until("the end\n");
    shell.type("exit\n");
    expect(await shell.exit).toBe(0);
    return shell.text();
  },
};
const names = Object.keys(people);

const write = (who: string) => {
  const name = who.replaceAll(/\W/g, "");
  return [
    `git config --global by.${name} yes`,
    `echo //npm/:by=${name} >> ~/.npmrc`,
    `mkdir -p ~/.local/bin ~/.ssh && echo ${name} > ~/.local/bin/${name}`,
    // Where ssh looks: the user database's HOME.
    `echo Host ${name} >> "$(getent passwd claudeuser | cut -d: -f6)/.ssh/config"`,
  ].join("; ");
};
const read = 'cd; pwd; git config --global --list; cat .npmrc .local/bin/* .ssh/config "$HOME/.ssh/config"';

async function expectAllSeeAll(): Promise<void> {
  for (const reader of names) {
    const seen = await people[reader]?.(read);
    for (const name of names.map((who) => who.replaceAll(/\W/g, ""))) {
      for (const trace of [`by.${name}=yes`, `by=${name}`, `Host ${name}`]) {
        expect({ reader, seen: seen?.toLowerCase() }).toEqual({
          reader,
          seen: expect.stringContaining(trace.toLowerCase()),
        });
      }
    }
    expect(seen).toContain("/home");
  }
}

test("what Claude's Bash, exec and the shell put into it, the others see, also after a stop of the sandbox", async () => {
  for (const who of names) await people[who]?.(write(who));
  await expectAllSeeAll();
  await (await kit.sandbox()).terminate();
  await kit.turn("hello", { sessionId });
  await expectAllSeeAll();
  const { stdout } = await kit.exec(["readlink", "-f", "/mnt/state/home/.claude", "/mnt/state/.claude"]);
  const [linked, own] = stdout.trim().split("\n");
  expect(linked).toBe(own);
});

test("what was HOME before moves into it with the next turn", async () => {
  await kit.exec([
    "sh",
    "-c",
    "cd /mnt/state && rm -rf home && mkdir .ssh && echo old > .ssh/config && chown -R 1000 .ssh",
  ]);
  await kit.turn("hello", { sessionId });
  expect((await kit.exec(["cat", "/mnt/state/home/.ssh/config"])).stdout).toBe("old\n");
});

test("a HOME that leads elsewhere is no way out of the volume", async () => {
  await kit.exec([
    "sh",
    "-c",
    "cd /mnt/state && rm -rf home && ln -s /etc home && echo x > .planted && chown 1000 .planted",
  ]);
  const before = (await kit.exec(["ls", "-la", "/etc"])).stdout;
  await kit.turn("hello", { sessionId });
  expect((await kit.exec(["ls", "-la", "/etc"])).stdout).toBe(before);
  expect((await kit.exec(["stat", "-c", "%F %U", "/mnt/state/home"])).stdout).toBe("directory claudeuser\n");
});
