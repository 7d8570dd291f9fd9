import { createTestKit, eventsOf, type TestAccount, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

/** A sandbox's model token, read where Claude Code has it, and tried in sandboxes of its own account and of another. */
let kit: TestKit;
let other: TestAccount;
beforeAll(async () => {
  kit = await createTestKit();
  other = await kit.addAccount("somebody else");
});
afterAll(() => kit?.[Symbol.asyncDispose]());

const request = JSON.stringify({ model: "m", max_tokens: 10, messages: [{ role: "user", content: "hi" }] });

async function ask(token: string, account?: TestAccount): Promise<{ status: number; body: string }> {
  const url = "http://gateway.holdfast.internal:4601/v1/messages";
  const headers = ["-H", `x-api-key: ${token}`, "-H", "content-type: application/json"];
  const { stdout } = await kit.exec(
    ["curl", "-s", "-m", "20", "-w", "\n%{http_code}", ...headers, "-d", request, url],
    {
      ...(account ? { account } : {}),
    },
  );
  const lines = stdout.trim().split("\n");
  return { status: Number(lines.pop()), body: lines.join("\n") };
}

/** Bash has the CLI's environment but the token; root finds it in that of the program that starts the CLI. */
async function tokenOf(account?: TestAccount): Promise<string> {
  const { events } = await kit.turn("list the files", account ? { account } : {});
  expect(eventsOf(events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
  const each = "for p in $(pgrep -x runuser); do tr '\\0' '\\n' < /proc/$p/environ; done";
  const find = `${each} | sed -n 's/^ANTHROPIC_API_KEY=//p' | tail -n 1`;
  const { stdout } = await kit.exec(["bash", "-c", find], account ? { account } : {});
  return stdout.trim();
}

test("a model token is worth nothing in another account's sandbox, and says so there", async () => {
  const token = await tokenOf();
  expect(token).toMatch(/^hfs_/);
  await kit.turn("list the files", { account: other });
  expect((await ask(token)).status).toBe(200);
  const elsewhere = await ask(token, other);
  expect(elsewhere.status).toBe(403);
  expect(elsewhere.body).toContain("This sandbox token belongs to another account.");
  // Its own goes on: nothing was revoked.
  expect((await ask(token)).status).toBe(200);
});

test("nor in another sandbox of its own account", async () => {
  const token = await tokenOf(other);
  const first = await kit.sandbox(other);
  await first.terminate();
  await kit.turn("list the files", { account: other });
  const later = await ask(token, other);
  expect([401, 403]).toContain(later.status);
  expect(later.body).toMatch(/another sandbox|revoked/);
});
