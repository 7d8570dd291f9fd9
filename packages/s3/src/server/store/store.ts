import { randomBytes } from "node:crypto";
import {
  constants,
  copyFile,
  type FileHandle,
  mkdir,
  readdir,
  rm,
  rmdir,
  stat,
  truncate,
  unlink,
} from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { errnoOf, Fault } from "../faults.ts";
import { DirectoryIndexes } from "./directory-index.ts";
import { DiskFloor } from "./disk-floor.ts";
import { type FileCalls, realFiles } from "./files.ts";
import { encodeFooter, type ObjectInfo, type OpenObject, openObjectFile, readInfo } from "./footer.ts";
import { keyToComponents, toBinary } from "./paths.ts";
import { Sink } from "./sink.ts";
import { DirectorySync, holdsFile, KeyedMutex } from "./sync.ts";
import { KeyWalk, type WalkOptions } from "./walk.ts";

/** What must hold for a write to happen; checked together with the write, so of many racers one wins. */
export interface WriteCondition {
  /** The key must not exist. */
  readonly absent?: boolean;
  /** The key must exist with this etag (unquoted), or with any for `*`. */
  readonly etag?: string;
  /** Held while the write takes effect; it throws where the writer may not any more. */
  readonly enter?: () => Disposable;
}

export interface ObjectAddress {
  readonly bucket: string;
  readonly key: string;
}

export interface StoreOptions {
  readonly dataDir: string;
  /** What to call the directory in messages; default `dataDir`. */
  readonly displayName?: string | undefined;
  /** False only for tests that measure something else: acknowledged data may then not survive a power cut. */
  readonly durable: boolean;
  /** See `DiskFloor`. */
  readonly keepFreeBytes?: number | undefined;
  readonly indexes?: DirectoryIndexes | undefined;
  /** Default: the file system. */
  readonly files?: FileCalls | undefined;
}

const COMMIT_ATTEMPTS = 20;

/** Two processes on one directory would break the conditions; an abstract socket goes away with its process. */
async function lockDirectory(dataDir: string, displayName: string): Promise<Server> {
  const { dev, ino } = await stat(dataDir);
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const inUse = cause.code === "EADDRINUSE";
      reject(
        inUse ? new Error(`${displayName} is in use by another S3 server; stop that one first`, { cause }) : cause,
      );
    });
    server.listen(`\0holdfast-s3-${dev}-${ino}`, resolve);
  });
  server.unref();
  return server;
}

/** Buckets and objects on disk: one immutable file per object, replaced by rename. */
export class ObjectStore implements AsyncDisposable {
  readonly directories: DirectorySync;
  readonly locks = new KeyedMutex();
  readonly indexes: DirectoryIndexes;
  readonly durable: boolean;
  readonly files: FileCalls;
  readonly uploadsDir: string;
  readonly #bucketsDir: string;
  readonly #tmpDir: string;
  readonly #lock: Server;
  readonly #floor: DiskFloor;
  readonly #buckets = new Map<string, number>();
  #tmpCount = 0;

  private constructor(options: StoreOptions, lock: Server) {
    this.durable = options.durable;
    this.files = options.files ?? realFiles;
    this.indexes = options.indexes ?? new DirectoryIndexes();
    this.directories = new DirectorySync(options.durable, this.indexes);
    this.#lock = lock;
    this.#floor = new DiskFloor({ directory: options.dataDir, keepFreeBytes: options.keepFreeBytes });
    this.#bucketsDir = join(options.dataDir, "buckets");
    this.#tmpDir = join(options.dataDir, "tmp");
    this.uploadsDir = join(options.dataDir, "uploads");
  }

  /**
   * Opens (or makes) a data directory and removes what an earlier crash left unfinished.
   * @throws Error where another server uses the directory
   */
  static async open(options: StoreOptions): Promise<ObjectStore> {
    await mkdir(options.dataDir, { recursive: true, mode: 0o700 });
    const store = new ObjectStore(
      options,
      await lockDirectory(options.dataDir, options.displayName ?? options.dataDir),
    );
    try {
      await rm(store.#tmpDir, { recursive: true, force: true });
      for (const dir of [store.#bucketsDir, store.#tmpDir, store.uploadsDir]) {
        await mkdir(dir, { recursive: true, mode: 0o700 });
      }
      for (const name of await readdir(store.#bucketsDir)) {
        store.#buckets.set(name, (await stat(join(store.#bucketsDir, name))).birthtimeMs);
      }
      await store.directories.sync(options.dataDir);
      return store;
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#lock.listening) return;
    await new Promise<void>((resolve) => this.#lock.close(() => resolve()));
  }

  /** Bucket names in order, with their creation time in milliseconds. */
  buckets(): { name: string; createdMs: number }[] {
    return [...this.#buckets]
      .map(([name, createdMs]) => ({ name, createdMs }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  hasBucket(bucket: string): boolean {
    return this.#buckets.has(bucket);
  }

  requireBucket(bucket: string): void {
    if (!this.#buckets.has(bucket)) throw new Fault("NoSuchBucket", { details: { BucketName: bucket } });
  }

  /** Returns false where it was there already. */
  createBucket(bucket: string): Promise<boolean> {
    return this.locks.run(`bucket\n${bucket}`, async () => {
      if (this.#buckets.has(bucket)) return false;
      await mkdir(this.#bucketDir(bucket), { recursive: true, mode: 0o700 });
      await this.directories.sync(this.#bucketsDir);
      this.#buckets.set(bucket, Date.now());
      return true;
    });
  }

  /** @throws Fault BucketNotEmpty */
  deleteBucket(bucket: string): Promise<void> {
    return this.locks.run(`bucket\n${bucket}`, async () => {
      this.requireBucket(bucket);
      if (await holdsFile(this.#bucketDir(bucket))) {
        throw new Fault("BucketNotEmpty", { details: { BucketName: bucket } });
      }
      const createdMs = this.#buckets.get(bucket) ?? 0;
      // Taken out first, so that no write starts; then only rmdir, which cannot lose an object that came in between.
      this.#buckets.delete(bucket);
      try {
        await this.#removeEmptyTree(this.#bucketDir(bucket));
      } catch (error) {
        this.#buckets.set(bucket, createdMs);
        if (errnoOf(error) !== "ENOTEMPTY" && errnoOf(error) !== "ENOTDIR") throw error;
        throw new Fault("BucketNotEmpty", { details: { BucketName: bucket } });
      }
      await this.directories.sync(this.#bucketsDir);
      await this.retire(join(this.uploadsDir, bucket));
    });
  }

  /** Removes directories only. @throws ENOTEMPTY or ENOTDIR where there is a file */
  async #removeEmptyTree(path: string): Promise<void> {
    for (const entry of await readdir(path, { withFileTypes: true })) {
      if (!entry.isDirectory()) throw Object.assign(new Error(`${path} holds objects`), { code: "ENOTEMPTY" });
      await this.#removeEmptyTree(join(path, entry.name));
    }
    await rmdir(path);
    this.indexes.forget(path);
    this.indexes.forget(dirname(path));
  }

  #bucketDir(bucket: string): string {
    return join(this.#bucketsDir, bucket);
  }

  #pathOf(address: ObjectAddress): string {
    return [this.#bucketDir(address.bucket), ...keyToComponents(toBinary(address.key))].join("/");
  }

  #tmpPath(): string {
    this.#tmpCount += 1;
    return join(this.#tmpDir, `${this.#tmpCount}-${randomBytes(6).toString("hex")}`);
  }

  /**
   * A place to write so much data into, before it is committed.
   * @throws Fault InsufficientStorage where that would leave too little of the disk to others
   */
  async createSink(bytes: number): Promise<Sink> {
    return await Sink.create(this.#tmpPath(), this.files, await this.#floor.hold(bytes));
  }

  /**
   * Takes a directory away, whole and at once; what cannot be removed then is removed at the next start. Nothing
   * happens where there is none.
   */
  async retire(path: string): Promise<void> {
    const away = this.#tmpPath();
    try {
      await this.files.rename(path, away);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return;
      throw error;
    }
    await rm(away, { recursive: true, force: true }).catch(() => undefined);
  }

  /** Opens an object; undefined where the key does not exist. */
  async openObject(address: ObjectAddress): Promise<OpenObject | undefined> {
    this.requireBucket(address.bucket);
    return openIfThere(() => openObjectFile(this.#pathOf(address)));
  }

  async info(address: ObjectAddress): Promise<ObjectInfo | undefined> {
    this.requireBucket(address.bucket);
    return openIfThere(() => readInfo(this.#pathOf(address)));
  }

  walk(bucket: string, options: WalkOptions): KeyWalk {
    this.requireBucket(bucket);
    return new KeyWalk(this.#bucketDir(bucket), { ...options, indexes: this.indexes });
  }

  /**
   * Makes a sink's data (and the footer written here) the object. When this returns, a power cut cannot undo it.
   * @throws Fault PreconditionFailed, NoSuchKey (a condition on an etag, and no object)
   */
  async commit(address: ObjectAddress, options: CommitOptions): Promise<void> {
    const { sink, info, condition } = options;
    await sink.seal({ tail: encodeFooter(info), durable: this.durable });
    await this.#moveIntoPlace(address, sink.path, condition);
    sink.markCommitted();
  }

  async #moveIntoPlace(address: ObjectAddress, from: string, condition: WriteCondition | undefined): Promise<void> {
    const path = this.#pathOf(address);
    const root = this.#bucketDir(address.bucket);
    await this.locks.run(path, async () => {
      this.requireBucket(address.bucket);
      if (condition) await this.#check(path, condition);
      using _entered = condition?.enter?.();
      for (let attempt = 1; ; attempt++) {
        try {
          await this.files.rename(from, path);
          this.indexes.added(dirname(path), basename(path));
          return;
        } catch (error) {
          // The directory is not there yet, or a delete next door just removed it for being empty.
          if (errnoOf(error) !== "ENOENT" || attempt === COMMIT_ATTEMPTS) throw error;
          this.requireBucket(address.bucket);
          await this.#makeParents(root, dirname(path));
        }
      }
    });
    await this.directories.syncWithAncestors(dirname(path), root);
  }

  /** Where the disk has no room for the last of them, the others do not stay. */
  async #makeParents(root: string, path: string): Promise<void> {
    try {
      await this.directories.makeBelow(root, path);
    } catch (error) {
      await this.directories.prune(path, root);
      throw error;
    }
  }

  async #check(path: string, condition: WriteCondition): Promise<void> {
    if (!condition.absent && condition.etag === undefined) return;
    const current = await openIfThere(() => readInfo(path));
    if (condition.absent && current) throw new Fault("PreconditionFailed", { details: { Condition: "If-None-Match" } });
    if (condition.etag === undefined) return;
    if (!current) throw new Fault("NoSuchKey");
    if (condition.etag !== "*" && condition.etag !== current.etag) {
      throw new Fault("PreconditionFailed", { details: { Condition: "If-Match" } });
    }
  }

  /** Removes an object; nothing happens where there is none. */
  async delete(address: ObjectAddress, condition?: WriteCondition): Promise<void> {
    this.requireBucket(address.bucket);
    const path = this.#pathOf(address);
    const root = this.#bucketDir(address.bucket);
    const removed = await this.locks.run(path, async () => {
      if (condition) await this.#check(path, condition);
      using _entered = condition?.enter?.();
      try {
        await unlink(path);
        this.indexes.removed(dirname(path), basename(path));
        return true;
      } catch (error) {
        if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTDIR") throw error;
        return false;
      }
    });
    if (!removed) return;
    await this.directories.sync(dirname(path)).catch((error: unknown) => {
      // Emptied and pruned by a neighbour: its removal is what has to be durable, and that is one level up.
      if (errnoOf(error) !== "ENOENT") throw error;
    });
    await this.directories.prune(dirname(path), root);
  }

  /**
   * Copies without moving data where it can: objects are immutable files, so a hard link is a copy. With `info`, the
   * copy gets metadata of its own and the data is copied by the kernel.
   */
  async copy(source: OpenObject & { readonly address: ObjectAddress }, options: CopyOptions): Promise<void> {
    const tmp = this.#tmpPath();
    try {
      const linked = options.info === undefined && (await this.#link(source, tmp));
      if (!linked) await this.#copyBytes(source, tmp, options.info ?? source.info);
      await this.#moveIntoPlace(options.to, tmp, options.condition);
    } finally {
      // rename() of a hard link onto itself does nothing and leaves this name; otherwise it is gone already.
      await unlink(tmp).catch(() => undefined);
    }
  }

  async #link(source: OpenObject & { readonly address: ObjectAddress }, tmp: string): Promise<boolean> {
    try {
      await this.files.link(this.#pathOf(source.address), tmp);
    } catch (error) {
      const errno = errnoOf(error);
      // Too many links, a file system without them, or the source was deleted since we opened it.
      if (errno === "EMLINK" || errno === "EPERM" || errno === "EOPNOTSUPP" || errno === "ENOENT") return false;
      throw error;
    }
    const [opened, made] = await Promise.all([source.handle.stat(), stat(tmp)]);
    if (opened.ino === made.ino) return true;
    // Overwritten since its conditions were checked: copy what was checked.
    await unlink(tmp);
    return false;
  }

  async #copyBytes(source: OpenObject, tmp: string, info: ObjectInfo): Promise<void> {
    using room = await this.#floor.hold(source.info.sizeBytes);
    await copyFile(`/proc/self/fd/${source.handle.fd}`, tmp, constants.COPYFILE_FICLONE);
    await truncate(tmp, source.info.sizeBytes);
    room.wrote(source.info.sizeBytes);
    const handle = await this.files.open(tmp, "r+", 0o600);
    try {
      await handle.chmod(0o600);
      await writeAt(handle, encodeFooter(info), source.info.sizeBytes);
      if (this.durable) await handle.datasync();
    } finally {
      await handle.close();
    }
  }
}

/** The kernel may take less than it was given, on a disk that is almost full above all. */
async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    if (bytesWritten === 0) throw Object.assign(new Error("the file takes no more data"), { code: "ENOSPC" });
    done += bytesWritten;
  }
}

export interface CommitOptions {
  readonly sink: Sink;
  readonly info: ObjectInfo;
  readonly condition?: WriteCondition | undefined;
}

export interface CopyOptions {
  readonly to: ObjectAddress;
  /** New metadata; without it the copy is identical. */
  readonly info?: ObjectInfo | undefined;
  readonly condition?: WriteCondition | undefined;
}

async function openIfThere<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
    throw error;
  }
}
