import { ID_COUNT } from "../keeper/id-map-size.ts";
import type { SandboxPaths } from "../keeper/paths.ts";
import { CAPABILITIES, MASKED_PATHS, READONLY_PATHS, type Rlimit } from "./profile.ts";
import { seccompProfile } from "./seccomp.ts";
import type { SandboxSpec } from "./types.ts";

export interface OciProcess {
  terminal: boolean;
  consoleSize?: { height: number; width: number };
  user: { uid: number; gid: number; additionalGids: number[] };
  args: string[];
  env: string[];
  cwd: string;
  capabilities: Record<"bounding" | "effective" | "permitted", readonly string[]>;
  noNewPrivileges: true;
  rlimits: Rlimit[];
}

export interface ProcessInput {
  args: string[];
  env: Record<string, string>;
  cwd: string;
  /** Absent: no terminal. */
  size?: { rows: number; cols: number };
  rlimits: Rlimit[];
}

/** Root inside, with the profile's capabilities and no way to gain more. */
export function ociProcess({ args, env, cwd, size, rlimits }: ProcessInput): OciProcess {
  return {
    terminal: size !== undefined,
    ...(size ? { consoleSize: { height: size.rows, width: size.cols } } : {}),
    user: { uid: 0, gid: 0, additionalGids: [] },
    args,
    env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    cwd,
    capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
    noNewPrivileges: true,
    rlimits,
  };
}

interface OciMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

const SYSTEM_MOUNTS: OciMount[] = [
  { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
  { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=64k"] },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", "size=512m"],
  },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
];

export interface BundleInput {
  spec: SandboxSpec;
  paths: SandboxPaths;
  cgroupsPath: string;
  rlimits: Rlimit[];
  /** Whether the device cgroup can be set; the user namespace refuses device nodes in any case. */
  deviceRules: boolean;
  /** Whether swap can be limited along with memory. */
  swapLimit: boolean;
  /** Node's `process.arch`. */
  arch: string;
}

/** The OCI runtime's `config.json`. Sources of mounts are the keeper's idmapped copies, never paths of the spec. */
export function ociConfig(input: BundleInput): Record<string, unknown> {
  const { spec, paths, rlimits } = input;
  const volumes = spec.mounts.map(({ target, readOnly }, index) => ({
    destination: target,
    type: "bind",
    source: paths.mount(index),
    options: ["bind", "nosuid", "nodev", readOnly ? "ro" : "rw"],
  }));
  const files = spec.files.map(({ path }, index) => ({
    destination: path,
    type: "bind",
    source: paths.file(index),
    options: ["bind", "nosuid", "nodev", "ro"],
  }));
  return {
    ociVersion: "1.0.2",
    process: ociProcess({ args: spec.args, env: spec.env, cwd: spec.cwd, rlimits }),
    root: { path: paths.root, readonly: false },
    hostname: spec.hostname,
    mounts: [...SYSTEM_MOUNTS, ...volumes, ...files],
    linux: linuxSection(input),
  };
}

function linuxSection({ spec, cgroupsPath, arch, deviceRules, swapLimit }: BundleInput): Record<string, unknown> {
  const map = [{ containerID: 0, hostID: spec.hostIdBase, size: ID_COUNT }];
  return {
    uidMappings: map,
    gidMappings: map,
    namespaces: [
      { type: "user" },
      { type: "pid" },
      { type: "mount" },
      { type: "ipc" },
      { type: "uts" },
      { type: "cgroup" },
      { type: "network", path: spec.networkNamespace },
    ],
    cgroupsPath,
    resources: {
      ...(deviceRules ? { devices: [{ allow: false, access: "rwm" }] } : {}),
      ...limitsSection(spec.limits, swapLimit),
    },
    seccomp: seccompProfile(arch),
    maskedPaths: MASKED_PATHS,
    readonlyPaths: READONLY_PATHS,
  };
}

const CPU_PERIOD_US = 100_000;

function limitsSection(limits: SandboxSpec["limits"], swapLimit: boolean): Record<string, unknown> {
  const { memoryBytes, milliCpu, pids } = limits;
  return {
    // No swap beyond the memory: what is over the limit is killed, not slowed.
    ...(memoryBytes !== undefined
      ? { memory: { limit: memoryBytes, ...(swapLimit ? { swap: memoryBytes } : {}) } }
      : {}),
    ...(milliCpu !== undefined
      ? { cpu: { quota: Math.max(1_000, Math.round((milliCpu * CPU_PERIOD_US) / 1_000)), period: CPU_PERIOD_US } }
      : {}),
    ...(pids !== undefined ? { pids: { limit: pids } } : {}),
  };
}
