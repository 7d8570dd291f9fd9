import { createTestKit, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { asClaudeuser } from "./_seed.ts";

let kit: TestKit;
let dockerfile: string[];
beforeAll(async () => {
  kit = await createTestKit({ record: true });
  await kit.turn("list the files");
  dockerfile = kit.recorder.calls
    .filter((call) => call.method === "ImageGetOrCreate")
    .flatMap((call) => (call.request.image as { dockerfileCommands: string[] }).dockerfileCommands);
});
afterAll(() => kit?.[Symbol.asyncDispose]());

const shell = async (command: string) => (await kit.exec(["sh", "-c", command])).stdout.trim();

test("claudeuser is 1000:1000", async () => {
  expect(await shell("id -u claudeuser; id -g claudeuser")).toBe("1000\n1000");
});

test("claude lies at /usr/local/bin/claude with mode 755 and answers", async () => {
  expect(await shell("stat -L -c %a /usr/local/bin/claude")).toBe("755");
  expect(await shell("runuser -u claudeuser -- claude --version")).toContain("Claude Code");
});

test("there is no sudo: no binary, no package, no sudoers file", async () => {
  expect(await shell("command -v sudo || echo none")).toBe("none");
  expect(await shell("dpkg -s sudo 2>/dev/null | grep Status || echo none")).toMatch(/none|not-installed/);
  expect(await shell("ls -d /etc/sudoers /etc/sudoers.d 2>/dev/null | wc -l")).toBe("0");
});

test("the last instruction of the image is USER root", () => {
  expect(dockerfile.at(-1)).toBe("USER root");
});

test("the tools that Claude and the seed need are there", async () => {
  for (const tool of ["git", "rg", "curl", "jq", "ps", "socat", "node", "python3", "aws"])
    expect(await shell(`command -v ${tool} >/dev/null && echo yes`), tool).toBe("yes");
  expect(await shell("node --version")).toMatch(/^v24\./);
  expect(await shell("aws --version")).toMatch(/^aws-cli\/2\./);
});

test("processes run with no_new_privs, as root and as claudeuser", async () => {
  expect(await shell("grep NoNewPrivs /proc/self/status")).toMatch(/1$/);
  expect((await kit.exec(asClaudeuser("grep NoNewPrivs /proc/self/status"))).stdout.trim()).toMatch(/1$/);
});

test("with sudo put in, sudo says that the no new privileges flag is set", async () => {
  const modal = kit.modal();
  const app = await modal.apps.fromName("seed-sudo", { createIfMissing: true });
  const image = modal.images
    .fromRegistry("debian:12-slim")
    .dockerfileCommands([
      "RUN apt-get update && apt-get install -y --no-install-recommends sudo",
      "RUN useradd -u 1000 -m claudeuser && echo 'claudeuser ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/claudeuser",
    ]);
  const sandbox = await modal.sandboxes.create(app, image, { timeoutMs: 300_000 });
  try {
    const sudo = await sandbox.exec(asClaudeuser("sudo -n true"));
    expect(await sudo.stderr.readText()).toContain('"no new privileges" flag');
    expect(await sudo.wait()).not.toBe(0);
  } finally {
    await sandbox.terminate();
  }
});
