import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  opendirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf, exitCodes, Failure, messageOf } from "../failure.ts";
import { runPaths } from "../run-paths.ts";
import { OwnerWalk, type Skipped, type WalkReport } from "./walk.ts";

export interface PermissionOptions {
  readonly uid: number;
  readonly gid: number;
  /** Real directories must lie below it: `/__modal/volumes`. */
  readonly volumeRoot: string;
  /** Where the guest remembers what it has walked. */
  readonly runDir: string;
  /** Walk even when nothing seems wrong. */
  readonly full: boolean;
  readonly onProgress: (progress: { path: string; entries: number; changed: number }) => void;
}

export interface PermissionReport {
  readonly path: string;
  readonly resolved: string;
  readonly entries: number;
  readonly changed: number;
  readonly skipped: readonly Skipped[];
  readonly durationMs: number;
  /** Nothing was walked: this sandbox did so before, and nothing looks wrong at the top. */
  readonly fast: boolean;
}

export const defaultVolumeRoot = "/__modal/volumes";
const progressEveryMs = 250;
const openFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** Makes the volume behind `path` the property of `uid:gid`. Throws a Failure that says why when it cannot. */
export function fixPermissions(path: string, options: PermissionOptions): PermissionReport {
  const startedMs = performance.now();
  const resolved = resolveVolume(path, options.volumeRoot);
  const root = openBelow(options.volumeRoot, resolved);
  try {
    const marker = new Marker(fstatSync(root), options);
    const done = (fields: Pick<PermissionReport, "entries" | "changed" | "skipped" | "fast">) => ({
      path,
      resolved,
      ...fields,
      durationMs: Math.round(performance.now() - startedMs),
    });
    if (!options.full && marker.isSet() && topLooksRight(root, options)) {
      return done({ entries: 0, changed: 0, skipped: [], fast: true });
    }
    const report = walk(root, path, options);
    if (report.failedCount > 0) throw walkFailure(path, report);
    marker.set();
    return done({ entries: report.entries, changed: report.changed, skipped: report.skipped, fast: false });
  } finally {
    closeSync(root);
  }
}

function walk(root: number, path: string, options: PermissionOptions): WalkReport {
  let toldMs = performance.now();
  const { uid, gid, onProgress } = options;
  const onEntry = ({ entries, changed }: { entries: number; changed: number }) => {
    if (entries % 256 !== 0 || performance.now() - toldMs < progressEveryMs) return;
    toldMs = performance.now();
    onProgress({ path, entries, changed });
  };
  return new OwnerWalk(root, { uid, gid, onEntry }).run();
}

/** Where the mount point's symlink leads, once and for all. */
function resolveVolume(path: string, volumeRoot: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    const isMissing = errnoOf(error) === "ENOENT";
    throw new Failure({
      code: isMissing ? "not_found" : "unreadable",
      message: isMissing ? `${path} does not exist` : `${path} cannot be resolved: ${messageOf(error)}`,
      remedy: `Mount a volume at ${path}; it must lead to a directory below ${volumeRoot}.`,
      exitCode: isMissing ? exitCodes.notFound : exitCodes.software,
      cause: error,
    });
  }
}

/** Opens a directory below the volume root name by name from there, so that no link on the way is followed. */
function openBelow(volumeRoot: string, resolved: string): number {
  const base = realpathSync(volumeRoot);
  if (!resolved.startsWith(`${base}/`)) {
    throw new Failure({
      code: "outside_volumes",
      message: `${resolved} is not below ${base}: it is left alone`,
      remedy: "Only volumes are re-owned. Mount a volume there, or name its mount point.",
      exitCode: exitCodes.refused,
    });
  }
  let descriptor = openSync(base, openFlags);
  for (const name of resolved.slice(base.length + 1).split("/")) {
    try {
      const next = openSync(`/proc/self/fd/${descriptor}/${name}`, openFlags);
      closeSync(descriptor);
      descriptor = next;
    } catch (error) {
      closeSync(descriptor);
      throw new Failure({
        code: "refused",
        message: `${resolved} cannot be opened as a directory: ${messageOf(error)}`,
        remedy: "Name a mount point that leads to a directory of a volume.",
        exitCode: errnoOf(error) === "ENOENT" ? exitCodes.notFound : exitCodes.refused,
        cause: error,
      });
    }
  }
  return descriptor;
}

/** So many entries at the top are looked at even when the volume was walked before. */
const topEntries = 256;

/**
 * A cheap second look: files that somebody put into the volume from outside mostly lie at its top. What our own root
 * writers (uploads, restores) write, they re-own themselves at once.
 */
function topLooksRight(root: number, options: { uid: number; gid: number }): boolean {
  const isRight = (stat: Stats) => stat.uid === options.uid && stat.gid === options.gid;
  if (!isRight(fstatSync(root))) return false;
  const directory = opendirSync(`/proc/self/fd/${root}`, { encoding: "buffer" as BufferEncoding });
  try {
    for (let seen = 0; seen < topEntries; seen++) {
      const entry = directory.readSync();
      if (entry === null) return true;
      const name = Buffer.from(entry.name as unknown as Uint8Array);
      const stat = lstatSync(Buffer.concat([Buffer.from(`/proc/self/fd/${root}/`), name]), { throwIfNoEntry: false });
      if (stat !== undefined && !isRight(stat)) return false;
    }
    return true;
  } finally {
    directory.closeSync();
  }
}

/** "This volume was walked in this sandbox": a file of root's, outside every volume, gone with the sandbox. */
class Marker {
  readonly #path: string;
  readonly #content: string;

  constructor(root: Stats, options: { uid: number; gid: number; runDir: string }) {
    const folder = runPaths(options.runDir).permissions;
    mkdirSync(options.runDir, { recursive: true, mode: 0o700 });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#path = join(folder, `${root.dev}-${root.ino}`);
    this.#content = `${options.uid}:${options.gid}\n`;
  }

  isSet(): boolean {
    try {
      return readFileSync(this.#path, "utf8") === this.#content;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return false;
      throw error;
    }
  }

  set(): void {
    // Sessions that start together take this step together.
    const own = `${this.#path}.${process.pid}.new`;
    writeFileSync(own, this.#content, { mode: 0o600 });
    renameSync(own, this.#path);
  }
}

function walkFailure(path: string, report: WalkReport): Failure {
  const examples = report.failed.slice(0, 5).map(({ path: at, reason }) => `${JSON.stringify(at)}: ${reason}`);
  const of = `${report.failedCount} of ${report.entries + report.failedCount} entries of ${path}`;
  return new Failure({
    code: "not_changed",
    message: `${of} could not be given to the user: ${examples.join("; ")}`,
    remedy: "Look at the volume: a full disk, a read-only mount or protected files stop this. Then send again.",
    exitCode: exitCodes.software,
  });
}
