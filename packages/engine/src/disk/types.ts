/** How much a tree of files may take. */
export interface DiskLimit {
  bytes: number;
  inodes: number;
}

/**
 * `project`: the file system counts and refuses. `image`: a file system of its own in a file of that size. `soft`: a
 * plain directory, counted now and then.
 */
export type DiskKind = "project" | "image" | "soft";

export interface MissingKind {
  why: string;
  todo: string;
}

/** What a directory's disk can do, found by doing it. */
export interface DiskProbe {
  kind: DiskKind;
  /** Why the better kinds are missing; absent where they work, or a better one does. */
  project?: MissingKind;
  image?: MissingKind;
}

export interface DiskUse {
  bytes: number;
  inodes: number;
  /** Of `bytes`, what was promised but does not lie on the disk yet. */
  pendingBytes: number;
}

/** A tree of files that is in use. Mounts are cloned from `source`. */
export interface OpenTree {
  kind: DiskKind;
  limit: DiskLimit;
  /** A path that this process can use until `close`; the tree's files lie in it. */
  source: string;
  /** Cheap for `project` and `image`; for `soft` what the last count gave. */
  use(): DiskUse;
  /** Only for `soft`: counts anew, up to four times the limit. */
  recount?(): Promise<DiskUse>;
  /** Resolves when everything is on the disk and nothing of it is mounted by us. Safe to repeat. */
  close(): Promise<void>;
}

/**
 * Trees of files with limits, each known by a path without an ending: the tree lies at that path, or in an image beside
 * it. What is there decides how it is opened, so that trees of every kind may lie next to each other.
 */
export interface DiskKeeper {
  /** Makes an empty tree; its root is root's, mode 0755. */
  create(path: string, limit: DiskLimit): Promise<void>;
  /**
   * Opens a tree; it is converted to this machine's kind and brought to the limit first, if it can be. What it already
   * holds is never cut: a limit below that is raised to fit.
   */
  open(path: string, limit: DiskLimit): Promise<OpenTree>;
  /** Of a tree that nobody has open. */
  usage(path: string): Promise<DiskUse>;
  resize(path: string, limit: DiskLimit): Promise<void>;
  /** Nothing is left of it, whatever kind it was. */
  remove(path: string): Promise<void>;
}

export const imageSuffix = ".img";
