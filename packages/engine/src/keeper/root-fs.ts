import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, posix } from "node:path";
import type { IdMaps } from "./id-maps.ts";
import { KeeperError } from "./keeper-error.ts";
import type { Layout, SandboxPaths } from "./paths.ts";
import type { CreateRequest } from "./protocol.ts";
import { cloneMount, MS_NODEV, MS_NOSUID, mount, openInRoot, SyscallError, unmountDetach } from "./syscalls.ts";

/** Whole page of mount options, and every layer's path is about forty bytes. */
const MAX_LAYERS = 80;

let nextLayer = 0;
/** Layers' mounts that could not be taken away when they should have been: tried again at every occasion. */
const stuck = new Set<string>();

export interface RootFsOptions {
  request: CreateRequest;
  paths: SandboxPaths;
  layout: Layout;
  maps: IdMaps;
  /** Where each mount's files lie now, in the request's order. */
  sources: string[];
  /** Where the writable layer lies, when it has a limit. */
  upperParent?: string;
}

/**
 * Puts a sandbox's root and the sources of its mounts into the keeper's private mount namespace. The runtime copies
 * them into the sandbox's own namespace, after which `detachAll` takes them away here: nothing stays mounted with us.
 * Returns the directory that overlayfs needs for itself and that must be removed at the end.
 */
export function assembleRootFs(options: RootFsOptions): { workDir: string } {
  const { request, paths, maps, sources } = options;
  mkdirSync(paths.mounts, { mode: 0o711 });
  mkdirSync(paths.root);
  const workDir = mountOverlay(options);
  prepareRoot(paths.root, request);
  for (const [index, { readOnly, idmapped }] of request.mounts.entries()) {
    const source = sources[index] ?? "";
    const target = paths.mount(index);
    if (statSync(source).isDirectory()) mkdirSync(target);
    else writeFileSync(target, "");
    cloneMount({ source, target, readOnly, ...(idmapped ? { userNamespaceFd: maps.volumeFd } : {}) });
  }
  for (const [index, { content }] of request.files.entries()) {
    writeFileSync(paths.file(index), content, { mode: 0o644 });
    lchownSync(paths.file(index), request.hostIdBase, request.hostIdBase);
  }
  return { workDir };
}

function mountOverlay({ request, paths, layout, maps, upperParent }: RootFsOptions): string {
  if (request.layers.length === 0 || request.layers.length > MAX_LAYERS) {
    throw new KeeperError("invalid", `A root needs 1 to ${MAX_LAYERS} layers, not ${request.layers.length}.`);
  }
  const upper = request.upperDir ?? join(upperParent ?? paths.data, "upper");
  const workDir = join(dirname(upper), `.${basename(upper)}.work-${request.sandboxId}`);
  mkdirSync(upper, { recursive: true, mode: 0o755 });
  mkdirSync(workDir, { mode: 0o755 });
  const mounted: string[] = [];
  const place = (source: string, readOnly: boolean): string => {
    const target = `${layout.privateDir}/l/${nextLayer++}`;
    mkdirSync(target);
    mounted.push(target);
    cloneMount({ source, target, readOnly, userNamespaceFd: maps.layerFd });
    return target;
  };
  try {
    // Upper and work must be seen through one mount.
    const writable = place(dirname(upper), false);
    const lower = request.layers.map((layer) => place(layer, true)).join(":");
    const own = `upperdir=${writable}/${basename(upper)},workdir=${writable}/${basename(workDir)}`;
    const plain = "redirect_dir=off,metacopy=off,index=off";
    // A root that is thrown away at the end needs no syncing to the disk.
    const data = `lowerdir=${lower},${own},${plain}${request.upperDir === undefined ? ",volatile" : ""}`;
    mount({ source: "overlay", target: paths.root, type: "overlay", flags: MS_NOSUID | MS_NODEV, data });
  } finally {
    // overlayfs holds its own private copies of these mounts.
    for (const target of [...mounted, ...stuck]) release(target);
  }
  return workDir;
}

function release(target: string): void {
  try {
    detach(target);
    stuck.delete(target);
  } catch {
    // It takes memory and nothing else, and is tried again: no reason to refuse the sandbox.
    stuck.add(target);
  }
}

/** Makes /tmp, the volume links and what files are bound over. The tree is a stranger's: every path is resolved inside it. */
function prepareRoot(root: string, request: CreateRequest): void {
  const rootFd = openInRootDirectory(root);
  try {
    const owner = request.hostIdBase;
    makeDirectory(rootFd, "/tmp", { owner, mode: 0o1777 });
    for (const link of request.symlinks) makeSymlink(rootFd, link, owner);
    for (const { path } of request.files) makeFileTarget(rootFd, path, owner);
  } finally {
    closeSync(rootFd);
  }
}

function openInRootDirectory(root: string): number {
  return openInRoot(-100, root, constants.O_RDONLY | constants.O_DIRECTORY);
}

/** Makes a directory and its parents unless they are there. */
function makeDirectory(rootFd: number, path: string, options: { owner: number; mode: number }): void {
  try {
    closeSync(openInRoot(rootFd, path, constants.O_RDONLY | constants.O_DIRECTORY));
    return;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (path === "/") throw error;
  }
  makeDirectory(rootFd, posix.dirname(path), { owner: options.owner, mode: 0o755 });
  const parent = openInRoot(rootFd, posix.dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const entry = `/proc/self/fd/${parent}/${posix.basename(path)}`;
    if (lstatSync(entry, { throwIfNoEntry: false }) !== undefined) {
      throw new KeeperError(
        "invalid",
        `${path} is needed as a directory, but in the image it is a file or leads nowhere.`,
      );
    }
    mkdirSync(entry, { mode: options.mode });
    const made = openInRoot(rootFd, path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      // mkdir's mode passes through the umask.
      fchmodSync(made, options.mode);
      fchownSync(made, options.owner, options.owner);
    } finally {
      closeSync(made);
    }
  } finally {
    closeSync(parent);
  }
}

/** Runtimes refuse to bind over a link that leads nowhere, which /etc/resolv.conf of many images is. */
function makeFileTarget(rootFd: number, path: string, owner: number): void {
  makeDirectory(rootFd, posix.dirname(path), { owner, mode: 0o755 });
  const parent = openInRoot(rootFd, posix.dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const entry = `/proc/self/fd/${parent}/${posix.basename(path)}`;
    const found = lstatSync(entry, { throwIfNoEntry: false });
    if (found?.isFile()) return;
    if (found !== undefined && !found.isSymbolicLink()) {
      throw new KeeperError("invalid", `${path} is needed as a file, but in the image it is something else.`);
    }
    if (found !== undefined) unlinkSync(entry);
    closeSync(openSync(entry, "wx", 0o644));
    lchownSync(entry, owner, owner);
  } finally {
    closeSync(parent);
  }
}

function makeSymlink(rootFd: number, link: { path: string; target: string }, owner: number): void {
  const path = posix.normalize(link.path);
  if (!path.startsWith("/") || path === "/" || path.endsWith("/")) {
    throw new KeeperError("invalid", `${link.path} cannot be a mount point: give an absolute path below /.`);
  }
  makeDirectory(rootFd, posix.dirname(path), { owner, mode: 0o755 });
  const parent = openInRoot(rootFd, posix.dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const entry = `/proc/self/fd/${parent}/${posix.basename(path)}`;
    const found = lstatSync(entry, { throwIfNoEntry: false });
    if (found !== undefined) {
      if (!found.isDirectory() || readdirSync(entry).length > 0) {
        throw new KeeperError("invalid", `${link.path} exists in the image and is not an empty directory.`);
      }
      rmdirSync(entry);
    }
    symlinkSync(link.target, entry);
    lchownSync(entry, owner, owner);
  } finally {
    closeSync(parent);
  }
}

/**
 * Takes a sandbox's mounts and their mount points out of our namespace; what is not there is skipped. The root's empty
 * directory stays while the sandbox runs: runc starts each exec from it.
 */
export function detachAll(paths: SandboxPaths, options: { keepRoot: boolean }): void {
  for (const target of [...stuck]) release(target);
  let entries: string[];
  try {
    entries = readdirSync(paths.mounts);
  } catch (error) {
    // Never assembled, or already gone.
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw error;
  }
  // Each by itself: one that is stuck must not keep the others.
  const failures: unknown[] = [];
  for (const entry of entries) {
    try {
      detach(join(paths.mounts, entry));
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  if (options.keepRoot) mkdirSync(paths.root, { recursive: true });
  else rmdirSync(paths.mounts);
}

function detach(target: string): void {
  try {
    unmountDetach(target);
  } catch (error) {
    // EINVAL: a plain file or directory, nothing mounted on it.
    if (!(error instanceof SyscallError) || error.errno !== 22) throw error;
  }
  removePoint(target);
}

function removePoint(target: string): void {
  const found = lstatSync(target, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (found.isDirectory()) rmdirSync(target);
  else unlinkSync(target);
}
