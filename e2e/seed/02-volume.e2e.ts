import { createTestKit, type TestKit } from "@holdfast/testkit";
import type { App, Image, Sandbox, Volume } from "modal";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { asClaudeuser } from "./_seed.ts";

let kit: TestKit;
let app: App;
let image: Image;
let volume: Volume;
const sandboxes: Sandbox[] = [];

beforeAll(async () => {
  kit = await createTestKit({ record: true });
  await kit.turn("list the files");
  const create = kit.recorder.calls.find((call) => call.method === "SandboxCreateV2");
  const definition = create?.request.definition as { imageId: string } | undefined;
  app = await kit.modal().apps.fromName("seed-volume", { createIfMissing: true });
  image = await kit.modal().images.fromId(definition?.imageId ?? "");
});
afterAll(() => kit?.[Symbol.asyncDispose]());
beforeEach(async () => {
  volume = await kit.modal().volumes.fromName(`seed-${Math.random().toString(36).slice(2)}`, { createIfMissing: true });
});
afterEach(async () => {
  for (const sandbox of sandboxes.splice(0)) await sandbox.terminate();
});

async function start(from: Image = image): Promise<Sandbox> {
  const sandbox = await kit.modal().sandboxes.create(app, from, {
    timeoutMs: 300_000,
    volumes: { "/mnt/workspace": volume },
    blockNetwork: true,
  });
  sandboxes.push(sandbox);
  return sandbox;
}

async function run(sandbox: Sandbox, args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const process = await sandbox.exec(args);
  const [stdout, stderr] = await Promise.all([process.stdout.readText(), process.stderr.readText()]);
  return { code: await process.wait(), stdout: stdout.trim(), stderr };
}

const mkdir = asClaudeuser("mkdir /mnt/workspace/marketing");
const permissionStep = [
  "node",
  "/opt/holdfast/guest.mjs",
  "permissions",
  "--uid",
  "1000",
  "--gid",
  "1000",
  "/mnt/workspace",
];

async function expectDenied(sandbox: Sandbox): Promise<void> {
  const made = await run(sandbox, mkdir);
  expect(made.code).not.toBe(0);
  expect(made.stderr).toContain("Permission denied");
}

test("at run time the mount point is a symlink to a directory owned by root", async () => {
  const sandbox = await start();
  expect((await run(sandbox, ["readlink", "/mnt/workspace"])).stdout).toMatch(/^\/__modal\/volumes\/vo-/);
  expect((await run(sandbox, ["stat", "-L", "-c", "%u:%g", "/mnt/workspace"])).stdout).toBe("0:0");
});

test("claudeuser may not write before the permission step, and may after it", async () => {
  const sandbox = await start();
  await expectDenied(sandbox);
  expect((await run(sandbox, permissionStep)).code).toBe(0);
  expect((await run(sandbox, mkdir)).code).toBe(0);
  expect((await run(sandbox, ["stat", "-c", "%U", "/mnt/workspace/marketing"])).stdout).toBe("claudeuser");
});

test("failed attempt 1 stays a failure: chown in the image", async () => {
  const chowned = image.dockerfileCommands(["RUN chown -R claudeuser:claudeuser /mnt/workspace"]);
  await expectDenied(await start(chowned));
});

test("failed attempt 2 stays a failure: chown in CMD", async () => {
  const chowned = image.dockerfileCommands(['CMD ["sh", "-c", "chown -R claudeuser /mnt/workspace; sleep 300"]']);
  await expectDenied(await start(chowned));
});

test("failed attempt 3 stays a failure: chown of the symlink itself", async () => {
  const sandbox = await start();
  expect((await run(sandbox, ["chown", "-h", "claudeuser:claudeuser", "/mnt/workspace"])).code).toBe(0);
  await expectDenied(sandbox);
});
