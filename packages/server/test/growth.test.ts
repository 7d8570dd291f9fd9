import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  countFiles,
  grown,
  type Holdings,
  processHoldings,
  settledHoldings,
  tableRows,
  times,
} from "@holdfast/testkit/holdings";
import { expect, test } from "vitest";
import { type LocalSystem, localSystem } from "./_local-server.ts";
import { onPostgres } from "./_server.ts";

/** A tenth of what `bench/growth.ts` sends through the whole system. */
const messages = 1_000;
const perSession = 50;
const atOnce = 4;
const megabytes = 15;
/** Kept for a time (decision 014); what is to be erased waits for a sandbox that has claudeuser, as none has here. */
const keptForAWhile = ["rows of idempotency", "rows of sandboxes", "rows of erasures"];

test.skipIf(onPostgres())(
  `holds after ${messages} messages what it held before, in server, database and guest`,
  async () => {
    await using it = await localSystem({}, { leaseTimings: { beatMs: 500, deadMs: 60_000, lookMs: 20 } });
    const talk = (sessions: number) => times(sessions, atOnce, () => conversation(it, perSession));
    await talk(atOnce);
    const looked = () => look(it);
    const before = await settledHoldings(looked, (now) => now["server: sessions in hand"] === 0);
    await talk(messages / perSession);
    const after = await settledHoldings(looked, (now) => grown({ before, after: now }, megabytes).length === 0);
    expect(before["guest: resident MB"]).toBeGreaterThan(0);
    expect(before["rows of accounts"]).toBeGreaterThan(0);
    expect(grown({ before, after }, megabytes)).toEqual([]);
  },
  600_000,
);

/** Ends with the session deleted: what was said is kept as long as its session. */
async function conversation(it: LocalSystem, count: number): Promise<void> {
  const session = await it.session("shared");
  for (let n = 1; n <= count; n++) {
    await session.send(`message ${n}`);
    await expect.poll(() => session.status(), { interval: 20, timeout: 60_000 }).toBe("idle");
  }
  expect(await session.outcomes()).toEqual(Array.from({ length: count }, () => "completed"));
  expect((await session.call("DELETE", `/v1/sessions/${session.id}`)).status).toBe(200);
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function look(it: LocalSystem): Holdings {
  const { sandboxes, server } = it;
  const [guest] = sandboxes.last.guests();
  collect();
  const found: Holdings = {
    "this process: heap MB": Math.round(process.memoryUsage().heapUsed / 1e6),
    "guest: files in its spool": countFiles(join(sandboxes.last.runDir, "spool")),
    ...(guest === undefined ? {} : processHoldings("guest", guest)),
    ...tableRows(join(it.dataDir, "server.sqlite")),
  };
  for (const [what, count] of Object.entries(server.server.held())) found[`server: ${what} in hand`] = count;
  return Object.fromEntries(Object.entries(found).filter(([name]) => !keptForAWhile.includes(name)));
}
