import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import type { SessionEvent } from "@holdfast/protocol";
import { createS3Client } from "@holdfast/s3";
import {
  createTestKit,
  endBelow,
  imageCacheDir,
  instanceOf,
  leftovers,
  type TestAccount,
  type TestKit,
} from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isGuest, processesOf as machineProcesses } from "../bench/torture/machine.ts";
import { hasCommit } from "../script/old-data-dir/checkout.ts";
import { bash, Conversations, isIdle, scripted } from "../script/old-data-dir/conversations.ts";
import { makeOldDataDir, type OldAccount, type OldDataDir, oldCommit } from "../script/old-data-dir/make.ts";
import { secretsOf } from "./seed/_seed.ts";

/**
 * The data directory of an installation of before, its supervisor killed in the middle of a turn, is taken over by the
 * program of today: with all that is stored, and with the sandbox that lives on under the keeper and guest of before.
 */
const reachable = hasCommit(oldCommit);
if (!reachable)
  test("the program of before is not in this clone's history (git fetch --unshallow)", (context) =>
    context.skip(`${oldCommit} is missing`));

describe.runIf(reachable)(`a data directory of ${oldCommit}`, () => {
  let dataDir: string;
  let old: OldDataDir;
  let guest: number[];
  let secrets: string;
  let kit: TestKit;
  let gateway: { adminUrl: string; adminToken: string };

  const account = ({ id, apiKey }: OldAccount): TestAccount => ({
    id,
    apiKey,
    name: id,
    client: new Anthropic({ baseURL: kit.url, apiKey }),
  });
  const of = (account: OldAccount) => new Conversations(kit.url, account.apiKey);

  async function inWorkspace(name: string): Promise<string> {
    return (await kit.exec(["cat", `/mnt/workspace/${name}`], { account: account(old.alice) })).stdout;
  }

  /** What the model was told of the conversation before this prompt. */
  async function earlierPrompts(prompt: string): Promise<string[]> {
    const headers = { authorization: `Bearer ${gateway.adminToken}` };
    const response = await fetch(`${gateway.adminUrl}/admin/record`, { headers });
    const { record } = (await response.json()) as { record: { lastUserText: string; earlierPrompts: string[] }[] };
    return record.filter((entry) => entry.lastUserText === prompt).at(-1)?.earlierPrompts ?? [];
  }

  beforeAll(async () => {
    dataDir = mkdtempSync(join(tmpdir(), "holdfast-old-"));
    chmodSync(dataDir, 0o711);
    old = await makeOldDataDir({ dataDir, imageCacheDir });
    secrets = readFileSync(join(dataDir, "secrets.json"), "utf8");
    guest = guests(old);
    kit = await createTestKit({
      dataDir,
      adjust: (name, options) => {
        if (name === "server") gateway = options.gateway as typeof gateway;
        return name === "gateway" ? { ...options, scriptedModel: { allowScripts: true } } : options;
      },
    });
  });
  afterAll(async () => {
    await kit?.[Symbol.asyncDispose]();
    await endBelow(dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  });

  test("its keys work, its secrets are the same, every event of before is there as it was", async () => {
    const now = JSON.parse(readFileSync(join(dataDir, "secrets.json"), "utf8")) as object;
    // The link that logged in for ever is the one thing that is not kept.
    const { loginToken: _ended, ...kept } = JSON.parse(secrets) as Record<string, string>;
    expect(Object.keys(kept).length).toBeGreaterThan(6);
    expect(now).toMatchObject(kept);
    for (const [name, session] of Object.entries(old.sessions)) {
      const log = await of(name === "bobs" ? old.bob : old.alice).log(session.id);
      expect(log.slice(0, session.log.length), name).toEqual(session.log);
    }
  });

  test("its sandbox lives on, with the guest of before", async () => {
    expect(guest.length).toBe(1);
    expect(old.alice.sandbox).toMatch(/^sb-/);
    await expect.poll(async () => await running(of(old.alice)), { timeout: 30_000 }).toEqual([old.alice.sandbox]);
    expect(guests(old)).toEqual(guest);
  });

  test("a question that it asked is answered", async () => {
    const { id, log } = old.sessions.asking;
    const question = log.find((event) => event.type === "holdfast.permission_request");
    if (question?.type !== "holdfast.permission_request") throw new Error("nothing was asked");
    const alice = of(old.alice);
    const { tool_use_id } = question;
    await alice.send(id, { type: "user.tool_confirmation", tool_use_id, result: "allow" });
    expect(completed(await alice.until(id, "the end of the turn that asked", isIdle))).toBe(true);
    expect(await inWorkspace("asked.txt")).toBe("allowed\n");
  });

  test("a turn that ran goes on to its end", async () => {
    const { id } = old.sessions.running;
    await kit.exec(["touch", "/mnt/workspace/go"], { account: account(old.alice) });
    expect(completed(await of(old.alice).until(id, "the end of the turn that ran", isIdle))).toBe(true);
    expect(await inWorkspace("over.txt")).toBe("over\n");
  });

  test("its conversation goes on in the sandbox of before", async () => {
    const { id } = old.sessions.finished;
    const read = await kit.turn("read kept.txt", { sessionId: id, account: account(old.alice) });
    expect(JSON.stringify(read.events)).toContain("written before");
    expect(await earlierPrompts("read kept.txt")).toContain("Create a file kept.txt that says written before");
    const fresh = await kit.turn("Create a file new.txt that says today", { account: account(old.alice) });
    expect(completed(fresh.events)).toBe(true);
    expect(await inWorkspace("new.txt")).toBe("today\n");
    expect(await running(of(old.alice))).toEqual([old.alice.sandbox]);
    expect(guests(old)).toEqual(guest);
  });

  test("its copies in S3 are whole", async () => {
    const { s3AccessKeyId, s3SecretAccessKey } = secretsOf(kit);
    using s3 = createS3Client({
      endpoint: `http://127.0.0.1:${kit.system.services.s3.ready?.port}`,
      region: "us-east-1",
      credentials: { accessKeyId: s3AccessKeyId, secretAccessKey: s3SecretAccessKey },
    });
    for (const [account, file] of [
      [old.alice, "kept.txt"],
      [old.bob, "bob.txt"],
    ] as const) {
      const keys: string[] = [];
      for await (const page of s3.list({ bucket: "agent-docs", prefix: `docs/${account.id}/` }))
        keys.push(...page.objects.map(({ key }) => key));
      const key = keys.find((each) => each.endsWith(`/${file}`)) ?? "none";
      expect((await s3.getBytes({ bucket: "agent-docs", key })).toString(), key).toBe("written before\n");
    }
  });

  test("a workspace whose sandbox was stopped: a new sandbox, the files of before, the conversation resumed", async () => {
    const { id } = old.sessions.bobs;
    const { events } = await kit.turn("read bob.txt", { sessionId: id, account: account(old.bob) });
    expect(JSON.stringify(events)).toContain("written before");
    expect(await earlierPrompts("read bob.txt")).toContain("Create a file bob.txt that says written before");
    const { stdout } = await kit.exec(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"], {
      account: account(old.bob),
    });
    expect(stdout).toMatch(/claude -p .*--resume/);
  });

  test("the sandbox of before is stopped; the next one has its files and conversations", async () => {
    const alice = of(old.alice);
    await alice.stopSandboxes();
    expect(guests(old)).toEqual([]);
    const { id } = old.sessions.running;
    const prompt = scripted(bash("cat kept.txt over.txt asked.txt new.txt"), { text: "Read." });
    const { events } = await kit.turn(prompt, { sessionId: id, account: account(old.alice) });
    expect(JSON.stringify(events)).toContain("written before\\nover\\nallowed\\ntoday");
    expect(completed(events)).toBe(true);
    expect(await running(alice)).not.toContain(old.alice.sandbox);
  });

  test("Ctrl-C leaves nothing of either program", async () => {
    const instance = instanceOf(dataDir) ?? "";
    expect(instance).not.toBe("");
    await kit[Symbol.asyncDispose]();
    const nothing = { mounts: [], namespaces: [], links: [], cgroups: [], processes: [], sockets: [] };
    expect(leftovers(dataDir, instance)).toEqual(nothing);
  });
});

/** Process ids of the guest in the sandbox that was left living. */
function guests({ dataDir, alice }: OldDataDir): number[] {
  return machineProcesses(dataDir, instanceOf(dataDir) ?? "")
    .filter((each) => isGuest(each) && each.sandbox === alice.sandbox)
    .map(({ pid }) => pid);
}

/** Modal's ids of the account's sandboxes that run. */
async function running(account: Conversations): Promise<string[]> {
  return (await account.sandboxes()).filter(({ state }) => state === "running").map(({ provider_id }) => provider_id);
}

const completed = (events: SessionEvent[]) =>
  events.findLast((event) => event.type === "holdfast.turn_result")?.outcome === "completed";
