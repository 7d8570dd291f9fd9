import { describe, expect, it } from "vitest";
import { accountLimits } from "../keeper/account-limits.ts";
import { counterProblems } from "./kernel-counters.ts";

const enough = () => 10_000_000;
const own = { ownCounters: true, runtime: "crun" } as const;

describe("what doctor says of kernel counters", () => {
  it("says nothing where every account has its own and the machine has enough", () => {
    expect(counterProblems(own, enough)).toEqual([]);
  });

  it("says that they are shared, why, and what to do, without stopping the engine", () => {
    const [kernel] = counterProblems({ ...own, ownCounters: false }, enough);
    expect(kernel).toMatchObject({ what: "Kernel counters are shared by all accounts.", fatal: false });
    expect(kernel?.todo).toContain("unprivileged_userns_clone");
    const [runc] = counterProblems({ ownCounters: false, runtime: "runc" }, enough);
    expect(runc?.todo).toBe("apt-get install crun");
  });

  it("names each setting that is too small for many accounts, and none that this kernel lacks", () => {
    const found = counterProblems(
      own,
      (path) => ({ "kernel/pid_max": 32_768, "fs/file-max": Number.NaN })[path] ?? 128,
    );
    expect(found.map(({ what }) => what)).toEqual([
      "kernel.pid_max is 32768.",
      "fs.inotify.max_user_instances is 128.",
    ]);
    expect(found.every(({ fatal }) => !fatal)).toBe(true);
    expect(found[0]?.todo).toBe("sysctl kernel.pid_max=4194304");
  });

  it("reads the machine itself", () => {
    expect(() => counterProblems(own)).not.toThrow();
  });

  it("leaves half of the machine's process ids to others", () => {
    expect(accountLimits(32_768).processes).toBe(16_384);
    expect(accountLimits(4_194_304).processes).toBe(32_768);
  });
});
