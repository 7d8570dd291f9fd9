import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { createTestKit, type TestKit } from "@holdfast/testkit";
import {
  type Growth,
  grown,
  type Holdings,
  processHoldings,
  settledHoldings,
  tableRows,
} from "@holdfast/testkit/holdings";
import { engineHoldings } from "../../packages/engine/test/conformance/_growth.ts";

const perSession = 100;
const atOnce = 4;
/** Long conversations of real use would be summed up by Claude Code; that is not what is measured here. */
const warmUp = 8;
/** Rows that are kept for a time, whatever becomes of what they are of: decision 014 has the times. */
const keptForAWhile = /^rows of (usage|syncs|idempotency|sandboxes)$/;

/**
 * Sends `count` messages to the whole system: real server, engine, keeper, gateway, guest and Claude Code, with the
 * scripted model. Sessions of a hundred messages, four at a time in one sandbox, each deleted at its end: what was said
 * is kept as long as its session.
 */
export async function growMessages(
  count: number,
  { megabytes, say }: { megabytes: number; say: (text: string) => void },
): Promise<{ growth: Growth; during: Holdings[]; perSecond: number }> {
  await using kit = await createTestKit({ adjust: briefMemories });
  const look = () => holdingsOf(kit);
  const talk = (messages: number) => sessions(kit, messages);
  await talk(warmUp);
  const before = await settledHoldings(look, (now) => now["guest: processes"] === 0);
  const during: Holdings[] = [];
  const started = performance.now();
  for (let quarter = 1; quarter <= 4; quarter++) {
    await talk(Math.floor(count / 4));
    during.push(await look());
    say(`${quarter} of 4 quarters, ${Math.round((performance.now() - started) / 1000)} s`);
  }
  const perSecond = count / ((performance.now() - started) / 1000);
  const after = await settledHoldings(look, (now) => grown({ before, after: now }, megabytes).length === 0);
  return { growth: { before, after }, during, perSecond };
}

/** What is kept for minutes by default goes within seconds, so that it can be waited for. */
const briefMemories = (name: string, given: Record<string, unknown>): Record<string, unknown> =>
  name === "engine"
    ? { ...given, output: { execRetentionMs: 1_000 }, housekeepingMs: 1_000 }
    : name === "server"
      ? { ...given, sweepEveryMs: 2_000 }
      : given;

async function sessions(kit: TestKit, messages: number): Promise<void> {
  let left = messages;
  const lane = async () => {
    while (left > 0) {
      const mine = Math.min(perSession, left);
      left -= mine;
      await conversation(kit, mine);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

async function conversation(kit: TestKit, messages: number): Promise<void> {
  let sessionId: string | undefined;
  for (let message = 1; message <= messages; message++) {
    const turn = await kit.turn(`hello, this is message ${message}`, sessionId === undefined ? {} : { sessionId });
    const last = turn.events.at(-1);
    if (last?.type !== "session.status_idle" || last.holdfast?.outcome !== "completed")
      throw new Error(`message ${message} of ${turn.sessionId} ended with ${JSON.stringify(last)}`);
    sessionId = turn.sessionId;
  }
  const gone = await kit.fetch(`/v1/sessions/${sessionId}`, { method: "DELETE" });
  if (!gone.ok) throw new Error(`the session was not deleted: ${gone.status} ${await gone.text()}`);
}

async function holdingsOf(kit: TestKit): Promise<Holdings> {
  const { services } = kit.system;
  // Until the exec that looked into the sandbox the last time is forgotten.
  await wait(2_000);
  const found: Holdings = { ...engineHoldings(join(kit.dataDir, "engine"), services.engine.pid ?? 0) };
  for (const name of ["server", "gateway", "s3"] as const) {
    const { pid } = services[name];
    if (pid !== undefined) Object.assign(found, processHoldings(name, pid));
  }
  for (const file of ["server/server.sqlite", "gateway/gateway.db"])
    if (existsSync(join(kit.dataDir, file))) Object.assign(found, tableRows(join(kit.dataDir, file)));
  Object.assign(found, await guestHoldings(kit));
  return Object.fromEntries(Object.entries(found).filter(([name]) => !keptForAWhile.test(name)));
}

/** As root in the sandbox: the guest's daemon, what it has on disk, and the processes of Claude Code. */
async function guestHoldings(kit: TestKit): Promise<Holdings> {
  const { stdout } = await kit.exec(["node", "-e", `(${lookInside.toString()})()`]);
  return JSON.parse(stdout) as Holdings;
}

/** Runs in the sandbox: names nothing from here. */
function lookInside(): void {
  const fs = process.getBuiltinModule("node:fs");
  const files = (dir: string): number =>
    fs
      .readdirSync(dir, { withFileTypes: true })
      .reduce((n, each) => n + 1 + (each.isDirectory() ? files(`${dir}/${each.name}`) : 0), 0);
  const found: Record<string, number> = { "guest: files in its spool": files("/run/holdfast/spool") };
  let claudes = 0;
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      const command = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
      if (command.includes("stream-json") && !command.startsWith("runuser")) claudes += 1;
      if (!command.includes("guest.mjs\0daemon")) continue;
      const resident = /^VmRSS:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      found["guest: resident MB"] = Math.round((Number(resident) * 1024) / 1e6);
      found["guest: descriptors"] = fs.readdirSync(`/proc/${pid}/fd`).length;
    } catch {
      // It ended while we looked.
    }
  }
  process.stdout.write(JSON.stringify({ ...found, "guest: processes": claudes }));
}
