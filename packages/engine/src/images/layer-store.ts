import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { sleep } from "@holdfast/std";
import { runCommand } from "./command.ts";

/** Names this process in the directory of unfinished layers; a pid alone may be used again. */
const owner = `${process.pid}-${randomUUID()}`;

/**
 * Overlay layers by content key: directories with plain ids. A layer is made in a directory of its own and appears
 * under its key by one rename after it is on the disk, so that what is there is whole. Several engines may share it.
 */
export interface LayerStore {
  path(key: string): string;
  /** The key of a layer of this store, any other path as it is; `pathOf` is the inverse. */
  nameOf(path: string): string;
  pathOf(name: string): string;
  has(key: string): boolean;
  /** Returns the path of the layer, made by `fill` if it is missing; concurrent calls share the work. It stops when all their signals have aborted. */
  ensure(key: string, fill: Fill, signal: AbortSignal): Promise<string>;
}

export function openLayerStore(root: string): LayerStore {
  const layers = join(root, "layers");
  const temporary = join(root, "tmp");
  const locks = join(root, "locks");
  for (const dir of [layers, temporary, locks]) mkdirSync(dir, { recursive: true, mode: 0o700 });
  const flights = new Map<string, Flight>();
  const path = (key: string) => join(layers, key);
  const has = (key: string) => existsSync(path(key));

  const make = async (key: string, fill: Fill, signal: AbortSignal) => {
    using _lock = await takeLock(join(locks, `${key}.db`), () => has(key), signal);
    if (has(key)) return path(key);
    const workshop = join(temporary, `${owner}-${randomUUID()}`);
    const directory = join(workshop, "root");
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    try {
      await fill(directory, signal);
      await runCommand(["sync", "-f", directory], { signal });
      renameSync(directory, path(key));
    } finally {
      await removeTree(workshop);
    }
    return path(key);
  };

  const takeOff = (key: string, fill: Fill): Flight => {
    const stop = new AbortController();
    const work = make(key, fill, stop.signal).finally(() => flights.delete(key));
    const flight: Flight = { work, stop, waiting: 0 };
    flights.set(key, flight);
    return flight;
  };

  return {
    path,
    nameOf: (layer) => (dirname(layer) === layers ? basename(layer) : layer),
    pathOf: (name) => (name.startsWith("/") ? name : path(name)),
    has,
    ensure: async (key, fill, signal) => {
      for (;;) {
        if (has(key)) return path(key);
        signal.throwIfAborted();
        const flight = flights.get(key) ?? takeOff(key, fill);
        if (!flight.stop.signal.aborted) return await share(flight, signal);
        // One that everybody left is just ending.
        await flight.work.catch(() => undefined);
      }
    },
  };
}

/** Makes a layer's content; `signal` aborts when nobody wants it any more. */
type Fill = (directory: string, signal: AbortSignal) => Promise<void>;

/** A layer that is being made for one or several builds. */
interface Flight {
  work: Promise<string>;
  stop: AbortController;
  waiting: number;
}

/** Waits with others; who leaves takes the work along only as the last, and then waits for its end. */
async function share(flight: Flight, signal: AbortSignal): Promise<string> {
  const left = Promise.withResolvers<never>();
  const leave = () => {
    flight.waiting--;
    if (flight.waiting === 0) flight.stop.abort(signal.reason);
    else left.reject(signal.reason);
  };
  flight.waiting++;
  signal.addEventListener("abort", leave, { once: true });
  try {
    return await Promise.race([flight.work, left.promise]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

/** Removes what engines that no longer run have left half made. */
export async function removeLeftovers(root: string): Promise<void> {
  const temporary = join(root, "tmp");
  if (!existsSync(temporary)) return;
  for (const name of readdirSync(temporary)) {
    const pid = Number(name.split("-")[0]);
    const lives = pid === process.pid ? name.startsWith(owner) : Number.isInteger(pid) && existsSync(`/proc/${pid}`);
    if (lives) continue;
    await removeTree(join(temporary, name));
  }
}

/**
 * Removes a half-made layer. What a killed build left mounted in it (the machine's own /sys and /dev/shm) is detached
 * first: removing must never go through a mount.
 */
async function removeTree(directory: string): Promise<void> {
  if (!existsSync(directory)) return;
  const inside = `${realpathSync(directory)}/`;
  for (const mountPoint of mountsBelow(inside)) {
    await runCommand(["umount", "--lazy", mountPoint], { signal: AbortSignal.timeout(10_000) });
  }
  const left = mountsBelow(inside);
  if (left.length > 0) throw new Error(`${left.join(", ")} is still mounted; unmount it, then start again`);
  await rm(directory, { recursive: true, force: true });
}

/** Mount points whose path begins with `prefix`, the deepest first. */
function mountsBelow(prefix: string): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) =>
      (line.split(" ")[1] ?? "").replace(/\\([0-7]{3})/g, (_all, code) => String.fromCharCode(parseInt(code, 8))),
    )
    .filter((path) => path.startsWith(prefix))
    .reverse();
}

/** A lock between processes that dies with its holder: SQLite's own. Gives up waiting when `done` turns true. */
async function takeLock(file: string, done: () => boolean, signal: AbortSignal): Promise<Disposable> {
  while (!done()) {
    signal.throwIfAborted();
    const database = new DatabaseSync(file, { timeout: 0 });
    try {
      database.exec("BEGIN EXCLUSIVE");
      return { [Symbol.dispose]: () => database.close() };
    } catch (error) {
      database.close();
      if (!(error instanceof Error && /locked/.test(error.message))) throw error;
    }
    await sleep(200, signal);
  }
  return { [Symbol.dispose]: () => undefined };
}
