import { execFileSync } from "node:child_process";
import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Sandbox as SandboxView } from "@holdfast/protocol";
import { createS3Client } from "@holdfast/s3";
import { createTestKit, eventsOf, type TestKit } from "@holdfast/testkit";
import type { Sandbox } from "modal";
import { expect, test } from "vitest";
import { secretsOf } from "./seed/_seed.ts";

type Options = Record<string, unknown>;

/** Sandboxes at the provider that carry this installation's tag. */
async function at(kit: TestKit, installationId: string): Promise<string[]> {
  const found: Sandbox[] = [];
  const tags = { "holdfast.installation": installationId };
  for await (const sandbox of kit.modal().sandboxes.list({ tags })) found.push(sandbox);
  for (const each of found) each.detach();
  return found.map(({ sandboxId }) => sandboxId).toSorted();
}

/** The sandboxes as the administrator sees them. */
async function asAdmin(kit: TestKit): Promise<SandboxView[]> {
  const login = await fetch(kit.system.loginUrl, { redirect: "manual" });
  const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
  const answer = await fetch(`${kit.url}/v1/sandboxes`, { headers: { cookie } });
  return ((await answer.json()) as { data: SandboxView[] }).data;
}

/** Of whole saves of the account. */
async function manifests(kit: TestKit): Promise<string[]> {
  const secrets = secretsOf(kit);
  const client = createS3Client({
    endpoint: `http://127.0.0.1:${kit.system.services.s3.ready?.port}`,
    region: "us-east-1",
    credentials: { accessKeyId: secrets.s3AccessKeyId, secretAccessKey: secrets.s3SecretAccessKey },
  });
  const keys: string[] = [];
  for await (const page of client.list({ bucket: "agent-docs", prefix: `docs/${kit.account.id}/` }))
    keys.push(...page.objects.map(({ key }) => key).filter((key) => key.endsWith("/.manifest")));
  return keys;
}

/** A server that was killed answers again after a while. */
async function answered<T>(work: () => Promise<T>): Promise<T> {
  for (const until = Date.now() + 60_000; ; await delay(100)) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > until) throw error;
    }
  }
}

async function sweeps(kit: TestKit, count: number): Promise<void> {
  const login = await answered(() => fetch(kit.system.loginUrl, { redirect: "manual" }));
  const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
  const seen = new Set<string>();
  const last = async () => {
    const answer = await fetch(`${kit.url}/v1/sweep`, { headers: { cookie } }).catch(() => undefined);
    const { last: report } = ((await answer?.json()) ?? {}) as { last?: { at: string; failures: string[] } | null };
    if (report) seen.add(report.at);
    return seen.size;
  };
  await expect.poll(last, { timeout: 60_000 }).toBeGreaterThanOrEqual(count);
}

test("two installations on one engine never touch each other: turns, sweeps, restarts, down", async () => {
  const shared: { engine?: Options; gateway?: Options; modal?: Options } = {};
  const ids = ["", ""];
  const volumes = (kit: TestKit) =>
    execFileSync("ls", [join(kit.dataDir, "engine", "volumes")], { encoding: "utf8" })
      .trim()
      .split("\n")
      .toSorted();
  await using a = await createTestKit({
    adjust: (name, options) => {
      if (name === "gateway") shared.gateway = options;
      if (name !== "server") return options;
      shared.modal = options.modal as Options;
      shared.engine = options.gateway as Options;
      ids[0] = String(shared.modal.installationId);
      return { ...options, sweepEveryMs: 200 };
    },
  });
  const first = await a.turn("Create a file a.txt that says a");
  const aVolumes = volumes(a);
  {
    await using b = await createTestKit({
      adjust: (name, options) => {
        if (name !== "server") return options;
        const own = options.modal as Options;
        ids[1] = String(own.installationId);
        // The engine and the gateway of the other one; everything else is its own.
        const modal = { ...shared.modal, installationId: own.installationId };
        return { ...options, modal, gateway: shared.engine, sweepEveryMs: 200 };
      },
    });
    expect(ids[0]).not.toBe(ids[1]);
    const second = await b.turn("Create a file b.txt that says b");
    expect(eventsOf(second.events, "session.status_idle")[0]?.holdfast?.outcome).toBe("completed");
    const [ofA, ofB] = [await at(a, ids[0] ?? ""), await at(a, ids[1] ?? "")];
    expect([ofA.length, ofB.length]).toEqual([1, 1]);
    await sweeps(a, 3);
    await sweeps(b, 3);
    // Killed and started again by their supervisors.
    for (const kit of [a, b]) kit.system.services.server.kill();
    for (const kit of [a, b]) await sweeps(kit, 3);
    expect([await at(a, ids[0] ?? ""), await at(a, ids[1] ?? "")]).toEqual([ofA, ofB]);
    const again = await b.turn("list the files", { sessionId: second.sessionId });
    expect(JSON.stringify(again.events)).toContain("b.txt");
    await b.system.stop({ endTurns: true });
    expect([await at(a, ids[0] ?? ""), await at(a, ids[1] ?? "")]).toEqual([ofA, []]);
  }
  expect(volumes(a)).toEqual(expect.arrayContaining(aVolumes));
  const last = await a.turn("list the files", { sessionId: first.sessionId });
  const text = JSON.stringify(last.events);
  expect(text).toContain("a.txt");
  expect(text).not.toContain("b.txt");
}, 240_000);

test("an empty database: its sandbox is unknown, kept, saved to S3 and ended in time; the right one takes a living turn up again", async () => {
  let keptMs = 3_600_000;
  await using kit = await createTestKit({
    adjust: (name, options) =>
      name === "server" ? { ...options, sweepEveryMs: 200, unknownSandboxKeptMs: keptMs } : options,
  });
  const { server } = kit.system.services;
  const file = join(kit.dataDir, "server", "server.sqlite");
  const swap = (from: string, to: string) => {
    for (const end of ["", "-wal", "-shm"]) {
      rmSync(`${to}${end}`, { force: true });
      try {
        renameSync(`${from}${end}`, `${to}${end}`);
      } catch {
        // SQLite removes these two itself when it is closed in order.
      }
    }
  };
  const { sessionId } = await kit.turn("Create a file kept.txt that says kept");
  const sandbox = (await kit.sandbox()).sandboxId;
  const running = kit.account.client.beta.sessions.events.send(sessionId, {
    events: [{ type: "user.message", content: [{ type: "text", text: "run `sleep 8; echo woke`" }] }],
  });
  await running;
  await expect
    .poll(async () => JSON.stringify(await kit.log(sessionId)).includes("sleep 8; echo woke"), { timeout: 30_000 })
    .toBe(true);
  await server.stop("SIGTERM", 10_000);
  swap(file, `${file}.right`);
  await server.start();
  await expect
    .poll(async () => (await asAdmin(kit)).map(({ id, state }) => [id, state]))
    .toEqual([[sandbox, "unknown"]]);
  await server.stop("SIGTERM", 10_000);
  swap(`${file}.right`, file);
  await server.start();
  const woke = async () =>
    eventsOf(await kit.log(sessionId), "agent.tool_result").some((e) => JSON.stringify(e).includes("woke"));
  await expect.poll(woke, { timeout: 60_000 }).toBe(true);
  await expect
    .poll(async () => ((await (await kit.fetch(`/v1/sessions/${sessionId}`)).json()) as { status: string }).status)
    .toBe("idle");
  const log = await kit.log(sessionId);
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_event, index) => index + 1));
  expect(eventsOf(log, "session.error")).toEqual([]);
  expect((await kit.sandbox()).sandboxId).toBe(sandbox);

  // Nobody puts it back any more.
  await server.stop("SIGTERM", 10_000);
  swap(file, `${file}.right`);
  keptMs = 500;
  const before = (await manifests(kit)).length;
  await server.start();
  await expect
    .poll(
      () =>
        kit.sandbox().then(
          () => "there",
          () => "gone",
        ),
      { timeout: 60_000 },
    )
    .toBe("gone");
  await expect.poll(async () => await asAdmin(kit)).toEqual([]);
  const saved = (await manifests(kit)).length;
  expect(saved).toBe(before + 1);
}, 240_000);
