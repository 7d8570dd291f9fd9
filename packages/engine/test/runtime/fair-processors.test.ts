import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cgroupMode } from "../../src/keeper/cgroup.ts";
import { possibleLimits } from "../../src/runtime/limits.ts";
import { HOST_ID_BASE, Machine, printSkipReason } from "./_machine.ts";

const B_BASE = HOST_ID_BASE + 65_536;
const canShare = () => possibleLimits(cgroupMode()).cpu;

/** What a sandbox has had of the processors, in seconds. */
function usedSeconds(machine: Machine, sandboxId: string): number {
  const found = execFileSync("find", ["/sys/fs/cgroup", "-maxdepth", "4", "-name", sandboxId], { encoding: "utf8" });
  for (const dir of found.split("\n").filter((path) => path.includes(machine.instance))) {
    if (existsSync(join(dir, "cpuacct.usage"))) return Number(readFileSync(join(dir, "cpuacct.usage"), "utf8")) / 1e9;
    const stat = join(dir, "cpu.stat");
    const used = existsSync(stat) ? /^usage_usec (\d+)/m.exec(readFileSync(stat, "utf8"))?.[1] : undefined;
    if (used !== undefined) return Number(used) / 1e6;
  }
  throw new Error(`${sandboxId} has no cgroup that counts its time`);
}

const groupsOf = ({ instance }: Machine, tree = "cpu") => {
  const dir = existsSync(`/sys/fs/cgroup/${tree}`) ? `/sys/fs/cgroup/${tree}` : "/sys/fs/cgroup";
  return readdirSync(join(dir, `holdfast-${instance}`)).filter((name) => name.startsWith("account-"));
};

describe.skipIf(printSkipReason() || !canShare())("processors", () => {
  let machine: Machine;
  beforeAll(async () => {
    machine = await Machine.start();
  });
  afterAll(() => machine[Symbol.asyncDispose]());

  it("are shared out among accounts, however many sandboxes one is busy in", async () => {
    const b = await machine.create({ hostIdBase: B_BASE });
    const as = [await machine.create(), await machine.create(), await machine.create(), await machine.create()];
    // Both can take every core of two, and of more as far as they go.
    const busy = "while :; do :; done & while :; do :; done";
    for (const id of [b, ...as]) await machine.start(id, busy);
    const look = () => [usedSeconds(machine, b), as.reduce((sum, id) => sum + usedSeconds(machine, id), 0)] as const;
    const [beforeB, beforeA] = look();
    let [ofB, ofA] = [0, 0];
    const used = () => {
      const [nowB, nowA] = look();
      [ofB, ofA] = [nowB - beforeB, nowA - beforeA];
      return ofB + ofA;
    };
    await expect.poll(used, { timeout: 50_000 }).toBeGreaterThan(3);
    for (const id of [b, ...as]) await machine.runtime.forget(id);
    // Half is its due. Side by side with all of them its sandbox would have a fifth.
    expect(ofB / (ofA + ofB)).toBeGreaterThan(0.4);
  });

  it("leave no cgroup of an account that has no sandbox any more", async () => {
    const [one, two] = [await machine.create(), await machine.create()];
    expect(groupsOf(machine)).toEqual([`account-${HOST_ID_BASE}`]);
    await machine.runtime.forget(one);
    expect(groupsOf(machine)).toEqual([`account-${HOST_ID_BASE}`]);
    await machine.runtime.forget(two);
    expect(groupsOf(machine)).toEqual([]);
  });
});
