import {
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  opendirSync,
  readFileSync,
  renameSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf, exitCodes, Failure } from "../failure.ts";
import { runPaths } from "../run-paths.ts";
import { openVolume } from "./volume.ts";
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

const progressEveryMs = 250;

/** Makes the volume behind `path` the property of `uid:gid`. Throws a Failure that says why when it cannot. */
export function fixPermissions(path: string, options: PermissionOptions): PermissionReport {
  const startedMs = performance.now();
  const { resolved, descriptor: root } = openVolume(path, options.volumeRoot);
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
