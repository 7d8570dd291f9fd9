import { totalmem } from "node:os";
import { sleep, startTimer, type Timer, withDeadline } from "@holdfast/std";
import type { Logger } from "pino";
import type { EngineOptions } from "../../config/options.ts";
import { memoryReserve } from "../../disk/shortage.ts";
import { mayMoveUnder, SubdirectoryError, subdirectoryOf } from "../../disk/subdirectory.ts";
import { refuse } from "../../errors.ts";
import type { Network } from "../../network/types.ts";
import { type Runtime, RuntimeError, type SandboxState } from "../../runtime/types.ts";
import { hostIdBase } from "../../state/id-ranges.ts";
import type { Store } from "../../state/store.ts";
import type { Images } from "../image/images.ts";
import { diskLimit } from "../volume/limits.ts";
import type { Volumes } from "../volume/volumes.ts";
import { type IdleWatch, watchIdle } from "./idle.ts";
import { toSandboxSpec, type VolumeTree } from "./launch.ts";
import type { NewSandbox, SandboxRecord, SandboxRecords } from "./records.ts";
import { admitMemory, reservationOf } from "./reservations.ts";
import { type EndReason, intended, resultOf } from "./result.ts";

const createDeadlineMs = 60_000;
const endDeadlineMs = 30_000;
/** Between two looks for a sandbox whose keeper does not answer. */
const longestPauseMs = 5_000;

/** Sandboxes from creation to end. Their state is in `SandboxRecords`; what runs is the runtime's. */
export interface Sandboxes {
  /** Resolves when its main process runs. */
  create(sandbox: NewSandbox, signal: AbortSignal): Promise<SandboxRecord>;
  /** Ends it and resolves when it is over. Does nothing when it already is. */
  end(id: string, reason: EndReason): Promise<void>;
  /** Resolves with the record when it has ended, `timeoutMs` have passed or the signal aborts. */
  wait(id: string, options: { timeoutMs: number; signal: AbortSignal }): Promise<SandboxRecord>;
  /** Its idle watch, when it lives and has an idle timeout. */
  idle(id: string): IdleWatch | undefined;
  /** Finds living sandboxes again after a start, ends what nobody knows. */
  recover(): Promise<void>;
  /** Stops watching; the sandboxes run on. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface SandboxesContext {
  options: EngineOptions;
  store: Store;
  records: SandboxRecords;
  images: Images;
  volumes: Volumes;
  runtime: Runtime;
  network: Network;
  log: Logger;
}

interface Live {
  finished: Promise<void>;
  deadline: Timer;
  idle: IdleWatch | undefined;
}

export function createSandboxes(context: SandboxesContext): Sandboxes {
  return new LiveSandboxes(context);
}

class LiveSandboxes implements Sandboxes {
  readonly #context: SandboxesContext;
  readonly #live = new Map<string, Live>();
  /** Volumes of which a subdirectory is being mounted. */
  readonly #gates = new Set<string>();
  readonly #stop = new AbortController();

  constructor(context: SandboxesContext) {
    this.#context = context;
  }

  async create(sandbox: NewSandbox, signal: AbortSignal): Promise<SandboxRecord> {
    const { records, log } = this.#context;
    this.#checkGates(sandbox);
    await this.#checkAccount(sandbox);
    // Nothing is awaited between these two: two that come at once do not both get the last place.
    this.#checkMemory(sandbox);
    const record = records.insert(sandbox);
    try {
      await withDeadline((inner) => this.#launch(record, inner), {
        what: `starting sandbox ${record.id}`,
        timeoutMs: createDeadlineMs,
        signal,
      });
      // A sandbox that nobody would find again must not run: without this row it goes.
      records.setRunning(record.id);
    } catch (error) {
      log.warn({ err: error, sandboxId: record.id }, "sandbox did not start");
      await this.#drop(record.id).catch((left: unknown) => {
        log.error({ err: left, sandboxId: record.id }, "what did not start is not all removed; the next start does it");
      });
      throw error;
    }
    this.#watch(record);
    log.info({ sandboxId: record.id, appId: record.appId, name: record.name }, "sandbox runs");
    return records.byId(record.id);
  }

  /** All volumes of an account together; its sandboxes' writable layers go with them and have limits of their own. */
  async #checkAccount({ spec }: NewSandbox): Promise<void> {
    const { volumes, options } = this.#context;
    const { accountBytes } = options.disk;
    const used = await volumes.usedBy(spec.idOwner);
    if (used > accountBytes) throw refuse.accountFull(used, accountBytes);
    for (const { volumeId } of spec.volumes) volumes.claim(volumeId, spec.idOwner);
  }

  #checkMemory({ spec }: NewSandbox): void {
    const { options, records } = this.#context;
    const total = Math.min(options.memory.totalBytes ?? Number.POSITIVE_INFINITY, totalmem());
    const usableBytes = Math.max(0, total - (options.keepFree.memoryBytes ?? memoryReserve(total)));
    const reserved = records.alive().map((record) => reservationOf(record.spec));
    admitMemory(reservationOf(spec), reserved, { ...options.memory, usableBytes });
  }

  async #launch(record: SandboxRecord, signal: AbortSignal): Promise<void> {
    const { images, runtime, network, options, store } = this.#context;
    const image = images.usable(record.spec.imageId);
    const gated = record.spec.volumes.filter((volume) => volume.subPath !== undefined);
    try {
      const trees: Record<string, VolumeTree> = {};
      for (const { volumeId, subPath } of record.spec.volumes) {
        if (subPath !== undefined) this.#closeGate(record.id, volumeId, subPath);
        trees[volumeId] = this.#tree(volumeId, subPath);
      }
      const attached = await network.attach(record.id, record.spec.policy);
      const spec = toSandboxSpec({
        record,
        image,
        network: attached,
        hostIdBase: hostIdBase(store, record.spec.idOwner),
        honourImageUser: options.honourImageUser,
        trees,
        scratch: diskLimit(options.disk, options.disk.scratchBytes),
      });
      signal.throwIfAborted();
      await runtime.create(spec, { signal });
    } finally {
      for (const { volumeId } of gated) this.#gates.delete(volumeId);
    }
  }

  #tree(volumeId: string, subPath: string | undefined): VolumeTree {
    const { volumes, runtime } = this.#context;
    const path = volumes.tree(volumeId);
    const limit = volumes.limit(volumeId);
    if (subPath === undefined) return { path, limit };
    if (runtime.disk !== undefined) return { path, limit: { ...limit, subPath } };
    // The keeper is of an older release and is given the directory itself.
    try {
      return { path: subdirectoryOf(path, subPath), limit };
    } catch (error) {
      if (error instanceof SubdirectoryError) throw refuse.precondition(`Sub path ${error.message}`);
      throw error;
    }
  }

  /**
   * From here until the mount of a volume's subdirectory stands, no sandbox that could put a link into that path may
   * run: those that do are a reason to refuse, those that want to start are put off (`#checkGates`).
   */
  #closeGate(sandboxId: string, volumeId: string, subPath: string): void {
    const { records } = this.#context;
    this.#gates.add(volumeId);
    const others = records.alive().filter((other) => {
      if (other.id === sandboxId) return false;
      const mount = other.spec.volumes.find((volume) => volume.volumeId === volumeId && !volume.readOnly);
      return mount !== undefined && mayMoveUnder(mount.subPath, subPath);
    });
    const names = others.map((other) => other.id);
    if (names.length > 0) throw refuse.volumeBusy(volumeId, names);
  }

  #checkGates(sandbox: NewSandbox): void {
    const closed = sandbox.spec.volumes.find((volume) => this.#gates.has(volume.volumeId));
    if (closed) throw refuse.volumeBeingMounted(closed.volumeId);
  }

  /** Arms the timers of a running sandbox and finishes its record when it ends. */
  #watch(record: SandboxRecord): void {
    const { id, spec } = record;
    const endBy = (reason: EndReason) => () => {
      this.end(id, reason).catch((error: unknown) => {
        this.#context.log.error({ err: error, sandboxId: id }, `sandbox could not be ended (${reason})`);
      });
    };
    const leftMs = Math.max(record.deadlineAt * 1000 - Date.now(), 0);
    const live: Live = {
      finished: Promise.resolve(),
      deadline: startTimer(leftMs, endBy("timeout")),
      idle: spec.idleTimeoutMs === undefined ? undefined : watchIdle(spec.idleTimeoutMs, endBy("idle")),
    };
    live.finished = this.#followToEnd(id).finally(() => {
      live.deadline[Symbol.dispose]();
      live.idle?.[Symbol.dispose]();
      this.#live.delete(id);
    });
    this.#live.set(id, live);
  }

  async #followToEnd(id: string): Promise<void> {
    const { log } = this.#context;
    const signal = this.#stop.signal;
    for (let pauseMs = 100; !signal.aborted; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      try {
        const state = await this.#untilEnd(id);
        if (!signal.aborted) await this.#finish(id, state);
        return;
      } catch (error) {
        // Stopping the engine ends the wait, not the sandbox.
        if (signal.aborted) return;
        log.error({ err: error, sandboxId: id }, "lost sight of a sandbox; looking again");
        await sleep(pauseMs, signal).catch(() => undefined);
      }
    }
  }

  async #untilEnd(id: string): Promise<SandboxState> {
    try {
      return await this.#context.runtime.waitSandbox(id, { signal: this.#stop.signal });
    } catch (error) {
      // Nobody knows it any more: it is over, whoever ended it.
      if (error instanceof RuntimeError && error.code === "not_found") return { running: false };
      throw error;
    }
  }

  /** Takes back one that never ran. Nobody was told of it: a retry with the same key starts afresh. */
  async #drop(id: string): Promise<void> {
    await this.#clear(id, "terminated");
    await this.#context.runtime.forget(id);
    this.#context.records.remove(id);
  }

  async #finish(id: string, state: SandboxState): Promise<void> {
    const { records, log } = this.#context;
    await this.#clear(id, "terminated");
    records.finish(id, resultOf(state));
    log.info({ sandboxId: id, result: records.byId(id).result }, "sandbox has ended");
  }

  /** Frees what a sandbox holds of the machine; its output stays. */
  async #clear(id: string, reason: EndReason): Promise<void> {
    const { runtime, network, log } = this.#context;
    for (const step of [() => runtime.destroy(id, reason), () => network.detach(id)]) {
      try {
        await step();
      } catch (error) {
        // A runtime that never heard of it has nothing to free.
        if (error instanceof RuntimeError && error.code === "not_found") continue;
        log.error({ err: error, sandboxId: id }, "sandbox left something behind");
      }
    }
  }

  async end(id: string, reason: EndReason): Promise<void> {
    const { records, runtime } = this.#context;
    const live = this.#live.get(id);
    if (!live) return;
    records.intend(id, intended[reason]);
    await runtime.destroy(id, reason);
    await withDeadline(() => live.finished, { what: `ending sandbox ${id}`, timeoutMs: endDeadlineMs });
  }

  async wait(id: string, { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal }): Promise<SandboxRecord> {
    const live = this.#live.get(id);
    if (live && timeoutMs > 0) {
      const over = Promise.withResolvers<void>();
      const timer = startTimer(timeoutMs, over.resolve);
      const onAbort = () => over.resolve();
      signal.addEventListener("abort", onAbort, { once: true });
      await Promise.race([live.finished, over.promise]);
      timer[Symbol.dispose]();
      signal.removeEventListener("abort", onAbort);
    }
    return this.#context.records.byId(id);
  }

  idle(id: string): IdleWatch | undefined {
    return this.#live.get(id)?.idle;
  }

  async recover(): Promise<void> {
    const { records, runtime, network, log } = this.#context;
    for (const record of records.alive()) {
      const state = await this.#stateOf(record.id);
      if (state.running && record.result === undefined) {
        // An engine that died between start and answer: the client's retry finds it by its idempotency key.
        if (record.status === "creating") records.setRunning(record.id);
        this.#watch(record);
        log.info({ sandboxId: record.id }, "sandbox found again");
      } else if (record.status === "creating") {
        await this.#drop(record.id);
        log.info({ sandboxId: record.id }, "a sandbox that was half made is removed");
      } else {
        await this.#finish(record.id, state);
      }
    }
    const kept = new Set(this.#live.keys());
    for (const id of await runtime.list()) {
      // Finished ones keep their output for a while; steps of interrupted builds keep nothing.
      if (records.exists(id)) continue;
      await this.#clear(id, "terminated");
      await runtime.forget(id);
    }
    for (const id of await network.list()) if (!kept.has(id)) await network.detach(id);
  }

  async #stateOf(id: string): Promise<SandboxState> {
    try {
      return await this.#context.runtime.state(id);
    } catch (error) {
      if (!(error instanceof RuntimeError && error.code === "not_found")) throw error;
      return { running: false };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const following = [...this.#live.values()].map((live) => live.finished);
    this.#stop.abort();
    for (const live of this.#live.values()) {
      live.deadline[Symbol.dispose]();
      live.idle?.[Symbol.dispose]();
    }
    await Promise.all(following);
    this.#live.clear();
  }
}

/** The living sandbox of a record; throws NOT_FOUND when it has finished. */
export function mustLive(record: SandboxRecord): SandboxRecord {
  if (record.status === "finished") throw refuse.sandboxFinished(record.id);
  return record;
}
