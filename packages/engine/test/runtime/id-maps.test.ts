import { closeSync, fstatSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { accountLimits } from "../../src/keeper/account-limits.ts";
import { IdMapCache, type IdMapLease, joinAccount } from "../../src/keeper/id-maps.ts";
import { canMakeOwned, makeAccountNamespace } from "../../src/keeper/user-namespaces.ts";
import { printSkipReason } from "./_machine.ts";
import { namespaceOwner } from "./_raw.ts";

const BASE = 2_000_000;
const account = (index: number) => BASE + index * 65_536;
const openDescriptors = () => readdirSync("/proc/self/fd").length;
const limits = accountLimits();

describe.skipIf(printSkipReason())("the namespaces of accounts", () => {
  it("are made once per account, as the account's own id, and only asked for together", async () => {
    const cache = new IdMapCache({ joinNamespace: true, limits });
    const [first, second] = await Promise.all([cache.get(account(0)), cache.get(account(0))]);
    expect([first.volumeFd, first.layerFd, first.accountFd]).toEqual([
      second.volumeFd,
      second.layerFd,
      second.accountFd,
    ]);
    const accountFd = first.accountFd ?? -1;
    expect(namespaceOwner(accountFd)).toBe(account(0));
    expect(namespaceOwner(first.layerFd)).toBe(0);
    const other = await cache.get(account(1));
    expect(namespaceOwner(other.accountFd ?? -1)).toBe(account(1));
  });

  it("do not grow with the accounts that ever were: only those in use stay open", async () => {
    const cache = new IdMapCache({ joinNamespace: true, limits, kept: 2 });
    const busy = await cache.get(account(10));
    const before = openDescriptors();
    for (let index = 11; index < 19; index++) {
      using _lease = await cache.get(account(index));
    }
    expect(cache.size).toBe(2);
    // Two accounts more at the most, of three descriptors each.
    expect(openDescriptors() - before).toBeLessThanOrEqual(6);
    expect(fstatSync(busy.volumeFd).ino).toBeGreaterThan(0);
    const again = await cache.get(account(10));
    expect(again.volumeFd).toBe(busy.volumeFd);
    busy[Symbol.dispose]();
    busy[Symbol.dispose]();
    using later = await cache.get(account(20));
    expect(fstatSync(again.volumeFd).ino).not.toBe(fstatSync(later.volumeFd).ino);
  });

  it("more accounts at once than are kept all have theirs", async () => {
    const cache = new IdMapCache({ joinNamespace: true, limits, kept: 1 });
    const leases: IdMapLease[] = await Promise.all([30, 31, 32, 33].map((index) => cache.get(account(index))));
    expect(new Set(leases.map(({ accountFd }) => fstatSync(accountFd ?? -1).ino)).size).toBe(4);
    for (const lease of leases) lease[Symbol.dispose]();
    expect(cache.size).toBe(1);
  });

  it("have the account's bounds, also against a watcher inside", async () => {
    expect(await canMakeOwned()).toBe(true);
    const fd = await makeAccountNamespace(account(40), { ...limits, inotifyInstances: 7, inotifyWatches: 9 });
    expect(fd).toBeDefined();
    if (fd === undefined) return;
    try {
      const { execFileSync } = await import("node:child_process");
      const read = (name: string) =>
        execFileSync("nsenter", [`--user=/proc/${process.pid}/fd/${fd}`, "cat", `/proc/sys/user/${name}`], {
          encoding: "utf8",
        }).trim();
      const machine = readFileSync("/proc/sys/user/max_inotify_instances", "utf8").trim();
      expect([read("max_inotify_instances"), read("max_inotify_watches")]).toEqual(["7", "9"]);
      expect(readFileSync("/proc/sys/user/max_inotify_instances", "utf8").trim()).toBe(machine);
    } finally {
      closeSync(fd);
    }
  });

  it("stand in the runtime's config in the place of a new one; without one the runtime makes its own", async () => {
    const config = { a: 1, linux: { namespaces: [{ type: "user" }, { type: "network", path: "/n" }], b: 2 } };
    const cache = new IdMapCache({ joinNamespace: true, limits });
    using lease = await cache.get(account(50));
    const joined = joinAccount(config, lease) as typeof config;
    const [user, network] = joined.linux.namespaces as { type: string; path?: string }[];
    expect(network).toEqual({ type: "network", path: "/n" });
    const opened = openSync(user?.path ?? "", "r");
    expect(fstatSync(opened).ino).toBe(statSync(`/proc/self/fd/${lease.accountFd}`).ino);
    closeSync(opened);
    expect([joined.a, joined.linux.b]).toEqual([1, 2]);
    const shared = new IdMapCache({ joinNamespace: false, limits });
    using own = await shared.get(account(51));
    expect(own.accountFd).toBeUndefined();
    expect(joinAccount(config, own)).toBe(config);
  });
});
