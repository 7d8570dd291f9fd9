import { expect, test } from "vitest";
import { EngineOptions } from "../../config/options.ts";
import type { SandboxDefinition, VolumeMount } from "../../proto/messages.ts";
import { accountTag, checkName, toPolicy, toPty, toStoredSpec } from "./spec.ts";

const mib = 2 ** 20;
const options = EngineOptions.parse({
  dataDir: "/nowhere",
  tokenId: "ak-test",
  tokenSecret: "as-test",
  sandboxDefaults: { memoryBytes: 1_024 * mib, milliCpu: 2_000, timeoutMs: 60_000, maxTimeoutMs: 3_600_000 },
});
/** As the SDK sends a sandbox for which nothing was asked. */
const nothing: SandboxDefinition = {
  entrypointArgs: [],
  imageId: "im-1",
  secretIds: [],
  resources: null,
  timeoutSecs: 0,
  blockNetwork: false,
  volumeMounts: [],
  cloudBucketMounts: [],
  ptyInfo: null,
  schedulerPlacement: null,
  networkAccess: null,
  enableSnapshot: false,
  cloudProviderStr: "",
  readinessProbe: null,
  inboundCidrAllowlist: [],
  environmentVariables: null,
  experimentalOptionsV2: {},
  experimentalOutboundPolicy: null,
};
const resources = (more: object) => ({
  resources: { memoryMb: 0, memoryMbMax: 0, milliCpu: 0, milliCpuMax: 0, gpuConfig: null, ...more },
});
const spec = (more: Partial<SandboxDefinition> = {}, tags: { tagName: string; tagValue: string }[] = []) =>
  toStoredSpec("ap-1", { ...nothing, ...more }, tags, options);
const mount = (volumeId: string, mountPath: string, subPath = ""): VolumeMount =>
  ({ volumeId, mountPath, readOnly: false, subPath, allowBackgroundCommits: false }) as VolumeMount;

test("who asks for nothing gets the defaults, and reserves nothing", () => {
  expect(spec()).toEqual({
    imageId: "im-1",
    args: [],
    volumes: [],
    policy: { kind: "open" },
    limits: { pids: 1024, memoryBytes: 1_024 * mib, milliCpu: 2_000 },
    timeoutMs: 60_000,
    idOwner: "app:ap-1",
    openPorts: [],
  });
});

test("limits are the Max fields; what is reserved is counted, and never more than the limit", () => {
  expect(spec(resources({ memoryMb: 512, memoryMbMax: 4_096, milliCpuMax: 500 }))).toMatchObject({
    limits: { memoryBytes: 4_096 * mib, milliCpu: 500 },
    reservedBytes: 512 * mib,
  });
  expect(spec(resources({ memoryMb: 8_192, memoryMbMax: 4_096 })).reservedBytes).toBe(4_096 * mib);
  expect(spec(resources({ memoryMb: 2_048 })).reservedBytes).toBe(1_024 * mib);
  expect(spec(resources({ memoryMbMax: 64 }))).not.toHaveProperty("reservedBytes");
});

test("the account's tag says whose ids it uses, else its App's", () => {
  const tag = (tagName: string, tagValue: string) => ({ tagName, tagValue });
  expect(spec({}, [tag("other", "x"), tag(accountTag, "acc_1")]).idOwner).toBe("account:acc_1");
  expect(spec({}, [tag(accountTag, "")]).idOwner).toBe("app:ap-1");
});

test("times and probes are taken as given; a life that is too long is refused", () => {
  expect(spec({ timeoutSecs: 3_600, idleTimeoutSecs: 5, workdir: "/a//b/../c" })).toMatchObject({
    timeoutMs: 3_600_000,
    idleTimeoutMs: 5_000,
    workdir: "/a/c",
  });
  expect(() => spec({ timeoutSecs: 3_601 })).toThrow("timeout of 3601 s is longer than 3600 s");
  const probe = (more: object) => spec({ readinessProbe: { intervalMs: 0, ...more } as never }).probe;
  expect(probe({ tcpPort: 80 })).toEqual({ tcpPort: 80, intervalMs: 100 });
  expect(probe({ execCommand: { argv: ["true"] }, intervalMs: 7 })).toEqual({ argv: ["true"], intervalMs: 7 });
});

test("volumes are mounted where they were asked for, each once, and never over the system", () => {
  expect(spec({ volumeMounts: [mount("vo-1", "/data/"), mount("vo-2", "/a/../b", "x//y/")] }).volumes).toEqual([
    { volumeId: "vo-1", mountPath: "/data", readOnly: false },
    { volumeId: "vo-2", mountPath: "/b", readOnly: false, subPath: "x/y" },
  ]);
  for (const path of ["/", "//", "/proc", "/sys/x", "/dev/../dev/y", "/__modal/z"])
    expect(() => spec({ volumeMounts: [mount("vo-1", path)] }), path).toThrow(/nothing can be mounted there/);
  for (const path of ["data", "", "/a\0b", `/${"x".repeat(4_000)}`])
    expect(() => spec({ volumeMounts: [mount("vo-1", path)] }), path.slice(0, 20)).toThrow(
      /an absolute path is needed/,
    );
  expect(() => spec({ volumeMounts: [mount("vo-1", "/a"), mount("vo-1", "/b")] })).toThrow(/mounted at two paths/);
  expect(() => spec({ volumeMounts: [mount("vo-1", "/a"), mount("vo-2", "/b/../a/")] })).toThrow(/Two volumes/);
  for (const sub of ["..", "a/../../b", "a\0b", "../x"])
    expect(() => spec({ volumeMounts: [mount("vo-1", "/a", sub)] }), sub).toThrow(/Invalid sub path/);
  // Names that begin as a system directory's are names of their own.
  expect(spec({ volumeMounts: [mount("vo-1", "/processes"), mount("vo-2", "/devel")] }).volumes).toHaveLength(2);
});

test("commands and names that could not be are refused where they are given", () => {
  expect(() => spec({ entrypointArgs: ["a\0b"] })).toThrow(/NUL/);
  expect(() => spec({ workdir: "relative" })).toThrow(/Invalid workdir 'relative'/);
  expect(() => spec({ cloudProviderStr: "moon" })).toThrow("Invalid cloud provider: moon");
  expect(() => spec({ schedulerPlacement: { regions: ["us-east", "moon"] } })).toThrow("Invalid region: moon");
  expect(spec({ cloudProviderStr: "AWS", schedulerPlacement: { regions: ["eu-west-1", "us"] } }).args).toEqual([]);
  for (const name of ["", "a b", "ä", "x".repeat(65), "a/b"])
    expect(() => checkName(name), name).toThrow(/sandbox name/);
  expect(checkName("A-b_c.9")).toBe("A-b_c.9");
});

test("a network policy is what was said: nothing, closed, or a list that is checked", () => {
  const list = (allowedCidrs: string[], allowedDomains: string[]) =>
    toPolicy({ networkAccessType: 3, allowedCidrs, allowedDomains } as never, false);
  expect(toPolicy(null, false)).toEqual({ kind: "open" });
  expect(toPolicy(null, true)).toEqual({ kind: "blocked" });
  expect(list(["10.0.0.0/8", "::/0"], ["*.example.com", "a_b.c"])).toMatchObject({ kind: "allowlist" });
  for (const cidr of ["10.0.0.0", "10.0.0.0/33", "::/129", "x/8", "1.2.3.4/8/8", "1.2.3.4/-1", ""])
    expect(() => list([cidr], []), cidr).toThrow(/Invalid CIDR/);
  for (const name of ["", "-a.b", "a..b", "*.*.b", "a b", `${"x".repeat(64)}.b`, "a.*"])
    expect(() => list([], [name]), name).toThrow(/Invalid domain/);
});

test("a terminal has a size and a kind though none was said", () => {
  const pty = (more: object) => toPty({ enabled: true, winszRows: 0, winszCols: 0, envTerm: "", ...more } as never);
  expect(toPty(null)).toBeUndefined();
  expect(pty({ enabled: false })).toBeUndefined();
  expect(pty({})).toEqual({ rows: 24, cols: 80, term: "xterm-256color" });
  expect(pty({ winszRows: 50, winszCols: 132, envTerm: "vt100" })).toEqual({ rows: 50, cols: 132, term: "vt100" });
});
