import { join } from "node:path";

/** Where engine and keeper put things. Both must agree, across versions: change nothing here without a new protocol version. */
export interface Layout {
  stateDir: string;
  /** Survives sandboxes: one directory per sandbox that was not forgotten. */
  sandboxes: string;
  /** Renamed here to be removed in the background. */
  trash: string;
  /** Images that wait for a sandbox. */
  spare: string;
  /** The OCI runtime's own state (`--root`). */
  ociState: string;
  socket: string;
  lock: string;
  log: string;
  /** Takes room on the disk that is given up when there is none left. */
  reserve: string;
  /** A tmpfs that only the keeper's mount namespace sees; traversable by every uid, as runtimes mount as the inner root. */
  privateDir: string;
  /** Parent of the sandboxes' cgroups, relative to each hierarchy's root. */
  cgroupParent: string;
}

export function layoutOf(stateDir: string, instance: string): Layout {
  return {
    stateDir,
    sandboxes: join(stateDir, "sandboxes"),
    trash: join(stateDir, "trash"),
    spare: join(stateDir, "spare"),
    ociState: join(stateDir, "oci"),
    socket: join(stateDir, "keeper.sock"),
    lock: join(stateDir, "keeper.lock"),
    log: join(stateDir, "keeper.log"),
    reserve: join(stateDir, "reserve"),
    privateDir: `/run/holdfast-${instance}`,
    cgroupParent: `/holdfast-${instance}`,
  };
}

export interface SandboxPaths {
  dir: string;
  bundle: string;
  config: string;
  record: string;
  final: string;
  runtimeLog: string;
  data: string;
  execs: string;
  /** In the private tmpfs. */
  mounts: string;
  root: string;
  mount(index: number): string;
  file(index: number): string;
}

export function sandboxPaths(layout: Layout, sandboxId: string): SandboxPaths {
  const dir = join(layout.sandboxes, sandboxId);
  const mounts = `${layout.privateDir}/s/${sandboxId}`;
  return {
    dir,
    bundle: join(dir, "bundle"),
    config: join(dir, "bundle", "config.json"),
    record: join(dir, "record.json"),
    final: join(dir, "final.json"),
    runtimeLog: join(dir, "runtime.log"),
    data: join(dir, "data"),
    execs: join(dir, "execs"),
    mounts,
    root: `${mounts}/root`,
    mount: (index) => `${mounts}/m${index}`,
    file: (index) => `${mounts}/f${index}`,
  };
}

export interface ExecPaths {
  dir: string;
  pid: string;
  log: string;
  stdout: string;
  stderr: string;
  exit: string;
}

export function execPaths(layout: Layout, sandboxId: string, execId: string): ExecPaths {
  const dir = join(layout.sandboxes, sandboxId, "execs", execId);
  return {
    dir,
    pid: join(dir, "pid"),
    log: join(dir, "runtime.log"),
    stdout: join(dir, "stdout"),
    stderr: join(dir, "stderr"),
    exit: join(dir, "exit.json"),
  };
}

export type OutputName = "stdout" | "stderr";

/**
 * The file of an output's segment that begins at byte `start`. The first is named as the only file was that keepers of
 * the first release wrote, so that every reader finds both.
 */
export function segmentFile(name: OutputName, start: number): string {
  return start === 0 ? name : `${name}.${start}`;
}

/** Where a segment begins, by its file's name; undefined for every other file. */
export function segmentStart(name: OutputName, file: string): number | undefined {
  if (file === name) return 0;
  const digits = file.startsWith(`${name}.`) ? file.slice(name.length + 1) : "";
  return /^[1-9]\d{0,15}$/.test(digits) ? Number(digits) : undefined;
}

const SAFE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Whether an id may become a file name; everything that comes over the wire is checked again before a path is built. */
export function isSafeName(name: string): boolean {
  return SAFE_NAME.test(name);
}
