import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  countFiles,
  type Growth,
  grown,
  type Holdings,
  processHoldings,
  settledHoldings,
  tableRows,
  times,
} from "@holdfast/testkit/holdings";
import { clientFor, sh, temporaryDataDir } from "./_engine.ts";
import { instanceOf, processesWith, spawnEngine, stopEngine } from "./_process.ts";

const programs = { engine: "engine/src/main.ts", keeper: "keeper/main.ts", egress: "egress/main.ts" };

/** `enginePid` does not have the data directory in its command line; the others do. */
export function engineHoldings(dataDir: string, enginePid: number): Holdings {
  const instance = instanceOf(dataDir);
  const others = processesWith(dataDir);
  let found: Holdings = {};
  for (const [name, program] of Object.entries(programs)) {
    const pid = name === "engine" ? enginePid : others.find(({ command }) => command.includes(program))?.pid;
    if (pid === undefined) continue;
    found = { ...found, ...processHoldings(name, pid) };
    if (name !== "keeper") continue;
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n");
    found["keeper: mounts of its own"] = mounts.filter((line) => line.includes(`holdfast-${instance}`)).length;
    found["keeper: files in memory"] = countFiles(`/proc/${pid}/root/run/holdfast-${instance}`);
    const cgroups = `/proc/${pid}/root/sys/fs/cgroup`;
    found["keeper: entries in the cgroup root"] = readdirSync(cgroups).length;
    // The number of groups that the kernel knows of is that of all who use this machine: only ours count.
    found["keeper: cgroups"] = readdirSync(cgroups)
      .map((tree) => `${cgroups}/${tree}/holdfast-${instance}`)
      .filter((dir) => existsSync(dir))
      .reduce((sum, dir) => sum + countDirectories(dir), 0);
  }
  found["files in the data directory"] = countFiles(dataDir);
  return { ...found, ...tableRows(join(dataDir, "state", "engine.db")) };
}

function countDirectories(dir: string): number {
  return readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory()).length;
}

const atOnce = 4;
/** A heap grows to the size of its work before it is used again: that is over by then. */
const warmUp = (count: number) => Math.ceil(count / 2);

function memoryOf(found: Holdings): Holdings {
  return Object.fromEntries(Object.entries(found).filter(([name]) => name.endsWith("MB")));
}

/** Makes and ends `count` sandboxes on one keeper, and runs `count` execs in one sandbox. */
export async function growEngine(
  count: number,
  megabytes: number,
): Promise<Record<"creates and ends" | "execs in one sandbox", Growth>> {
  using dir = temporaryDataDir();
  const options = { outputRetentionMs: 2_000, recordRetentionMs: 2_000, housekeepingMs: 500 };
  const engine = await spawnEngine(dir.path, options);
  try {
    const modal = clientFor(engine.url);
    const app = await modal.apps.fromName("growth", { createIfMissing: true });
    const image = await modal.images.fromRegistry("debian:12-slim").build(app);
    const make = async () => {
      const made = await modal.sandboxes.create(app, image, { command: ["sleep", "infinity"] });
      await made.terminate();
    };
    const look = () => engineHoldings(dir.path, engine.child.pid ?? 0);
    const settled = async (before: Holdings): Promise<Growth> => ({
      before,
      after: await settledHoldings(look, (after) => grown({ before, after }, megabytes).length === 0),
    });
    await times(warmUp(count), atOnce, make);
    const before = await settledHoldings(look, (now) => now["rows of sandboxes"] === 0);
    await times(count, atOnce, make);
    const creates = await settled(before);
    const one = await modal.sandboxes.create(app, image, { command: ["sleep", "infinity"], timeoutMs: 3_600_000 });
    const run = async () => {
      const { stdout } = await sh(one, "echo one of many");
      if (stdout !== "one of many\n") throw new Error(`an exec said ${JSON.stringify(stdout)}`);
    };
    await times(warmUp(count), atOnce, run);
    const warm = memoryOf(look());
    await times(count, atOnce, run);
    await one.terminate();
    const execs = await settled({ ...before, ...warm });
    return { "creates and ends": creates, "execs in one sandbox": execs };
  } finally {
    await stopEngine(engine.child, "SIGINT");
  }
}
