import { describe, expect, it } from "vitest";
import { layoutOf, sandboxPaths } from "../keeper/paths.ts";
import { ociConfig } from "./bundle.ts";
import { canSetDeviceRules, withoutImpossible } from "./limits.ts";
import { isOldRunc } from "./oci-runtime-choice.ts";
import { rlimitsFrom } from "./profile.ts";
import { allowedCalls, seccompProfile } from "./seccomp.ts";
import type { SandboxSpec } from "./types.ts";

const spec: SandboxSpec = {
  sandboxId: "sb-1",
  layers: ["/layer"],
  hostIdBase: 100_000,
  args: ["sleep"],
  env: { A: "1" },
  cwd: "/",
  mounts: [{ source: "/secret/host/path", target: "/data", readOnly: true, idmapped: true }],
  symlinks: [],
  limits: { memoryBytes: 1_000_000, milliCpu: 1_500, pids: 10 },
  networkNamespace: "/run/netns/x",
  hostname: "box",
  files: [],
};

function configOf(changes: { swapLimit?: boolean } = {}) {
  const paths = sandboxPaths(layoutOf("/state", "i"), "sb-1");
  const machine = { cgroupsPath: "/i/sb-1", rlimits: [], arch: "x64", deviceRules: true, swapLimit: true };
  return ociConfig({ spec, paths, ...machine, ...changes });
}

describe("the bundle", () => {
  it("always has a user namespace, no new privileges and no host path but the keeper's own", () => {
    const config = configOf();
    expect(config).toMatchObject({
      process: { noNewPrivileges: true, env: ["A=1"] },
      linux: { uidMappings: [{ containerID: 0, hostID: 100_000, size: 65_536 }] },
    });
    expect(JSON.stringify(config.linux)).toContain('{"type":"user"}');
    expect(JSON.stringify(config)).not.toContain("/secret/host/path");
  });

  it("turns limits into what cgroups want", () => {
    const cpu = { quota: 150_000, period: 100_000 };
    expect(configOf()).toMatchObject({
      linux: { resources: { memory: { limit: 1_000_000, swap: 1_000_000 }, cpu, pids: { limit: 10 } } },
    });
    expect(JSON.stringify(configOf({ swapLimit: false }))).not.toContain('"swap"');
    expect(withoutImpossible(spec.limits, { memory: false, cpu: true, pids: false })).toEqual({ milliCpu: 1_500 });
  });
});

describe("the seccomp profile", () => {
  it("allows none of the calls that reach out of a sandbox", () => {
    const allowed = new Set(allowedCalls());
    const never =
      `mount umount2 pivot_root fsopen fsmount fsconfig fspick open_tree move_mount mount_setattr setns unshare
      clone clone3 socket keyctl add_key request_key name_to_handle_at open_by_handle_at bpf perf_event_open userfaultfd
      io_uring_setup io_uring_enter io_uring_register pidfd_getfd syslog acct quotactl quotactl_fd swapon swapoff
      init_module finit_module delete_module kexec_load kexec_file_load reboot settimeofday clock_settime adjtimex
      iopl ioperm personality vhangup io_setup io_submit io_getevents io_pgetevents io_cancel
      io_destroy`.split(/\s+/);
    expect(never.filter((name) => allowed.has(name))).toEqual([]);
    expect(allowedCalls().length).toBe(allowed.size);
  });

  it("answers what it does not know with ENOSYS and knows one architecture", () => {
    expect(seccompProfile("x64")).toMatchObject({ defaultErrnoRet: 38, architectures: ["SCMP_ARCH_X86_64"] });
    expect(seccompProfile("arm64").architectures).toEqual(["SCMP_ARCH_AARCH64"]);
  });
});

describe("what the machine allows", () => {
  it("asks for no more open files than the hard limit", () => {
    const file = (hard: string) =>
      `Limit  Soft  Hard  Units\nMax open files            1024                 ${hard}       files\n`;
    expect(rlimitsFrom(file("20000"))[0]).toEqual({ type: "RLIMIT_NOFILE", soft: 20_000, hard: 20_000 });
    expect(rlimitsFrom(file("unlimited"))[0]).toEqual({ type: "RLIMIT_NOFILE", soft: 65_536, hard: 65_536 });
  });

  it("bounds what the kernel counts per user, in every process, and never asks for more than the keeper has", () => {
    const wanted = rlimitsFrom("");
    expect(wanted.map(({ type }) => type)).toEqual([
      "RLIMIT_NOFILE",
      "RLIMIT_SIGPENDING",
      "RLIMIT_MSGQUEUE",
      "RLIMIT_MEMLOCK",
      "RLIMIT_CORE",
    ]);
    for (const { soft, hard } of wanted) expect([Number.isFinite(hard), soft <= hard]).toEqual([true, true]);
    const tight = rlimitsFrom(
      "Max pending signals       100                  100                  signals\nMax msgqueue size         10                   10                   bytes\n",
    );
    expect(tight.find(({ type }) => type === "RLIMIT_SIGPENDING")?.hard).toBe(100);
    expect(tight.find(({ type }) => type === "RLIMIT_MSGQUEUE")?.hard).toBe(10);
  });

  it("leaves device rules to machines that can set them", () => {
    expect(canSetDeviceRules("v1", "")).toBe(true);
    expect(canSetDeviceRules("none", "")).toBe(false);
    expect(canSetDeviceRules("v2", "CapEff:\t000001ffffffffff\n")).toBe(true);
    expect(canSetDeviceRules("v2", "CapEff:\t000001fffeffffff\n")).toBe(false);
  });

  it("knows which runc cannot join a prepared network", () => {
    expect(["runc version 1.1.5+ds1", "runc version 1.0.0"].map(isOldRunc)).toEqual([true, true]);
    expect(["runc version 1.2.0", "runc version 2.0.1", "unreadable"].map(isOldRunc)).toEqual([false, false, false]);
  });
});
