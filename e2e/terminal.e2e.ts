import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTestKit, type TestAccount, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { holdfast } from "./_machine.ts";
import { type Terminal, terminal } from "./_pty.ts";

let kit: TestKit;
let home: string;
let account: TestAccount;

beforeAll(async () => {
  kit = await createTestKit();
  home = mkdtempSync(join(tmpdir(), "holdfast-terminal-"));
  account = await kit.addAccount("typist");
});
afterAll(async () => {
  await kit?.[Symbol.asyncDispose]();
  rmSync(home, { recursive: true, force: true });
});

const env = (): Record<string, string> => ({
  HOLDFAST_URL: kit.url,
  HOLDFAST_API_KEY: account.apiKey,
  XDG_CONFIG_HOME: home,
  NO_COLOR: "",
});

/** Types a line and waits for what it prints; the echo, which comes first, does not hold the words. */
async function say(tty: Terminal, line: string, answer: string | RegExp): Promise<void> {
  const from = tty.text().length;
  tty.type(`${line}\r`);
  await tty.until(answer, { from });
}

/** Waits until something was killed and is there again. */
async function killed(name: "server" | "engine"): Promise<void> {
  const service = kit.system.services[name];
  const before = service.pid;
  service.kill();
  await expect.poll(() => service.pid !== undefined && service.pid !== before, { timeout: 60_000 }).toBe(true);
}

test("a shell as people use it: editor, size, Ctrl-C, a server and an engine that are killed, leaving and coming back", async () => {
  const tty = terminal(["sh"], env());
  await tty.until(/term_\w+, workspace "default"/, { timeoutMs: 240_000 });
  const id = /term_\w+/.exec(tty.text())?.[0] ?? "";
  await say(tty, "stty size; id -un; echo $HOME; pwd", /30 100\s+claudeuser\s+\/mnt\/state\/home\s+\/mnt\/workspace/);
  await say(tty, "tput colors; echo si''zed", /256\s+sized/);

  tty.resize({ cols: 77, rows: 22 });
  await say(tty, `until [ "$(stty size)" = "22 77" ]; do sleep 0.1; done; tput cols; echo resi''zed`, /77\s+resized/);

  await say(tty, "sh -c 'echo sle''eping; exec sleep 1000'", "sleeping");
  tty.type("\u0003");
  await say(tty, "echo code $?", "code 130");

  await say(tty, "vim note.txt", /note\.txt.*\[New\]/);
  tty.type("iWritten in vim: zäh\u001b:wq\r");
  // What is typed before it has ended is its own to drop.
  await tty.until(/written[\s\S]*\$ $/);
  await say(tty, "wc -c < note.txt", /\b21\s/);

  await say(tty, "htop", /Load average/);
  const before = tty.raw().length;
  await killed("server");
  // It draws itself anew, again and again.
  await expect.poll(() => tty.raw().slice(before).length, { timeout: 60_000 }).toBeGreaterThan(500);
  tty.type("q");
  await tty.until(/htop[\s\S]*\$ $/);
  await say(tty, "echo sti''ll $((6 * 7))", "still 42");

  await say(tty, "n=0; while [ $n -lt 100 ]; do n=$((n+1)); echo line $n; sleep 0.1; done; echo o''ver", "line 5\n");
  await killed("server");
  tty.type("echo typed meanwhile $((40 + 2))\r");
  await killed("engine");
  await tty.until("over", { timeoutMs: 120_000 });
  await tty.until("typed meanwhile 42");
  const lines = [...tty.text().matchAll(/^line (\d+)$/gm)].map((match) => Number(match[1]));
  expect(lines).toEqual(Array.from({ length: 100 }, (_, n) => n + 1));

  await say(tty, "name=kept; echo se''t", "set");
  tty.type("\r~.");
  expect(await tty.exit).toBe(0);
  await tty.until(`holdfast sh --attach ${id}`);
  const listed = await holdfast(["sh", "--list"], env());
  expect(listed.stdout).toMatch(new RegExp(`${id}\\s+default\\s+77x22\\s+at its prompt`));

  const again = terminal(["sh", "--attach", id], env());
  await again.until("typed meanwhile 42");
  await say(again, "echo $name; stty size", /kept\s+30 100/);
  again.type("exit 7\r");
  expect(await again.exit).toBe(7);
  expect((await holdfast(["sh", "--list"], env())).stdout).toContain("ended (7)");
  expect((await holdfast(["sh", "--end", id], env())).stdout).toContain(`Ended ${id}`);
  expect((await holdfast(["sh"], env())).stderr).toContain("needs a terminal");
}, 600_000);
