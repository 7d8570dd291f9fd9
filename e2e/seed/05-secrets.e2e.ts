import { createTestKit, eventsOf, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { execExits, execStarts } from "./_seed.ts";

let kit: TestKit;
let sessionId: string;
beforeAll(async () => {
  kit = await createTestKit({ record: true });
  ({ sessionId } = await kit.turn("Create a file secret-test.txt that says nothing secret, then run `env`"));
  await vi.waitFor(() => expect(execExits(kit.recorder.events, "sync").length).toBeGreaterThan(0), { timeout: 30_000 });
});
afterAll(() => kit?.[Symbol.asyncDispose]());

/** The credentials that the sync exec was given, read off the wire. */
function syncCredentials(): Record<string, string> {
  const start = kit.recorder.calls.find(
    (call) =>
      call.method === "TaskExecStart" && (call.request.commandArgs as string[]).join(" ").includes("aws s3 sync"),
  );
  const sources = start?.request.secretSources as { env?: { contents: Record<string, string> } }[];
  return Object.assign({}, ...sources.map((source) => source.env?.contents ?? {})) as Record<string, string>;
}

const aws = (args: string[]) =>
  kit.exec(
    ["runuser", "-u", "claudeuser", "--", "aws", ...args, "--endpoint-url", "http://s3.holdfast.internal:4603"],
    {
      env: { ...syncCredentials(), AWS_DEFAULT_REGION: "us-east-1", AWS_EC2_METADATA_DISABLED: "true" },
    },
  );

test("exec 1 has no secrets; exec 2 has the model's, the sync exec the storage's", () => {
  const [one] = execStarts(kit.recorder.events, "exec 1");
  const [two] = execStarts(kit.recorder.events, "exec 2");
  const [sync] = execStarts(kit.recorder.events, "sync");
  expect(one?.secretKeys).toEqual([]);
  expect(two?.secretKeys).toEqual(expect.arrayContaining(["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"]));
  expect(two?.secretKeys.filter((key) => key.startsWith("AWS_"))).toEqual([]);
  expect(sync?.secretKeys).toEqual(
    expect.arrayContaining(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]),
  );
  expect(sync?.secretKeys.filter((key) => key.startsWith("ANTHROPIC_"))).toEqual([]);
});

test("Claude's environment holds no AWS credentials", async () => {
  const results = JSON.stringify(eventsOf(await kit.log(sessionId), "agent.tool_result"));
  expect(results).toContain("ANTHROPIC_BASE_URL");
  expect(results).not.toMatch(/AWS_(ACCESS|SECRET|SESSION)/);
});

test("the storage credentials may list their own prefix, and nothing of another account", async () => {
  const sync = execStarts(kit.recorder.events, "sync")[0];
  const target = sync?.args.find((arg) => arg.startsWith("s3://")) ?? "";
  expect(target).toMatch(new RegExp(`^s3://[^/]+/docs/${kit.account.id}/\\d{10}/$`));
  expect((await aws(["s3", "ls", target])).stdout).toContain("secret-test.txt");
  const foreign = target.replace(kit.account.id, "acc_0000000000000000000000000");
  for (const args of [
    ["s3", "ls", foreign],
    ["s3", "cp", "/etc/hostname", `${foreign}stolen.txt`],
    ["s3", "cp", `${foreign}any.txt`, "-"],
  ]) {
    const answer = await aws(args);
    expect(answer.code, args.join(" ")).not.toBe(0);
    expect(answer.stderr, args.join(" ")).toMatch(/AccessDenied|403|Forbidden/);
  }
});

test("the storage credentials cannot delete, not even their own", async () => {
  const target = execStarts(kit.recorder.events, "sync")[0]?.args.find((arg) => arg.startsWith("s3://")) ?? "";
  const answer = await aws(["s3", "rm", `${target}secret-test.txt`]);
  expect(answer.code).not.toBe(0);
  expect(answer.stderr + answer.stdout).toMatch(/AccessDenied|403|Forbidden/);
  expect((await aws(["s3", "ls", target])).stdout).toContain("secret-test.txt");
});
