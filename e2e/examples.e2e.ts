import { fileURLToPath } from "node:url";
import { createTestKit, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runProgram } from "./_machine.ts";
import { secretsOf } from "./seed/_seed.ts";

let kit: TestKit;
let engineUrl = "";
beforeAll(async () => {
  kit = await createTestKit({
    adjust: (name, options) => {
      if (name === "server") engineUrl = (options.modal as { serverUrl: string }).serverUrl;
      return options;
    },
  });
});
afterAll(() => kit?.[Symbol.asyncDispose]());

const file = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const ours = () => ({ HOLDFAST_URL: kit.url, HOLDFAST_API_KEY: kit.account.apiKey });

function modals(): Record<string, string> {
  const { modalTokenId, modalTokenSecret } = secretsOf(kit);
  return { MODAL_SERVER_URL: engineUrl, MODAL_TOKEN_ID: modalTokenId, MODAL_TOKEN_SECRET: modalTokenSecret };
}

describe("examples", () => {
  test("a turn through the official Anthropic SDK", async () => {
    const { code, stdout, stderr } = await runProgram(process.execPath, [file("examples/anthropic-sdk.ts")], ours());
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^session sesn_/);
    expect(stdout).toContain("🔧 ");
    expect(stdout).toContain("'session.status_idle': 1");
  });

  test("permission denied and granted through the official modal SDK", async () => {
    const { code, stdout } = await runProgram(process.execPath, [file("examples/modal-sdk.ts")], modals());
    expect(stdout).toMatch(/^before: exit [1-9]\d*, .*Permission denied/m);
    expect(stdout).toContain("permission step: exit 0");
    expect(stdout).toContain("after: exit 0, hello");
    expect(code).toBe(0);
  });

  test("a turn and an exec with curl", async () => {
    const { code, stdout, stderr } = await runProgram("sh", [file("examples/curl.sh")], ours());
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("idle\n");
    expect(stdout).toContain('data: {"type":"stdout","text":"hello');
    expect(stdout).toContain('data: {"type":"exit","code":0}');
  });
});

describe("script/verify-modal", () => {
  test("holds on the engine", async () => {
    const { code, stdout, stderr } = await runProgram(process.execPath, [file("script/verify-modal.ts")], modals());
    expect({ stderr, failed: stdout.match(/^❌.*\n.*$/gm) }).toEqual({ stderr: "", failed: null });
    expect(stdout).toContain("All 10 statements hold.");
    expect(code).toBe(0);
  });

  test("says what is missing without tokens, and verifies nothing", async () => {
    const none = { MODAL_TOKEN_ID: "", MODAL_TOKEN_SECRET: "" };
    const { code, stderr } = await runProgram(process.execPath, [file("script/verify-modal.ts")], none);
    expect(code).toBe(2);
    expect(stderr).toContain("MODAL_TOKEN_ID");
  });
});
