import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { createApps } from "./behaviour/app/apps.ts";
import { createTokens } from "./behaviour/auth/tokens.ts";
import { Execs } from "./behaviour/exec/execs.ts";
import { createBuildLogs } from "./behaviour/image/build-logs.ts";
import { createBuildRunner } from "./behaviour/image/build-runner.ts";
import { Images } from "./behaviour/image/images.ts";
import { startHousekeeping } from "./behaviour/sandbox/housekeeping.ts";
import { SandboxRecords } from "./behaviour/sandbox/records.ts";
import { createSandboxes } from "./behaviour/sandbox/sandboxes.ts";
import { createSecrets } from "./behaviour/secret/secrets.ts";
import { diskLimit } from "./behaviour/volume/limits.ts";
import { Volumes } from "./behaviour/volume/volumes.ts";
import { type MachineSettings, readMachineSettings } from "./config/environment.ts";
import { type EngineOptions, type EngineOptionsInput, parseOptions } from "./config/options.ts";
import { DiskReserve } from "./disk-reserve.ts";
import { openLayerStore, removeLeftovers } from "./images/layer-store.ts";
import { layoutOf } from "./keeper/paths.ts";
import { createLogger } from "./logger.ts";
import { checkMachine } from "./machine-check.ts";
import { createNetwork } from "./network/index.ts";
import type { Network } from "./network/types.ts";
import { createRuntime } from "./runtime/index.ts";
import type { Runtime } from "./runtime/types.ts";
import type { ServiceContext } from "./services/context.ts";
import { listen } from "./services/listen.ts";
import { openStore, type Store } from "./state/store.ts";

/** A running engine. Disposing it leaves sandboxes running for the engine that starts next on the same directory. */
export interface Engine extends AsyncDisposable {
  port: number;
  /** What MODAL_SERVER_URL is set to. */
  url: string;
  /** Ends every sandbox, every process, mount and namespace of this engine, then the engine itself. */
  shutdown(): Promise<void>;
}

export interface EngineHooks {
  /** Default: JSON lines on stderr. */
  log?: Logger;
  /** Told every line of every image build. */
  onBuildLog?: (imageId: string, line: string) => void;
  /** How package clients reach the world; default: read from this process's environment. */
  machine?: MachineSettings;
}

/** Starts an engine. Throws `DataDirInUseError` when another one holds `dataDir`. */
export async function startEngine(input: EngineOptionsInput, hooks: EngineHooks = {}): Promise<Engine> {
  const options = parseOptions(input);
  const log = hooks.log ?? createLogger(options.logLevel);
  await using stack = new AsyncDisposableStack();
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  chmodSync(options.dataDir, 0o700);
  const reserve = openReserve(options, log);
  await checkMachine(options, log);
  const store = stack.adopt(
    openStore(options.dataDir, (write) => reserve.withRoom(write)),
    (opened) => opened[Symbol.dispose](),
  );
  // A start that fails leaves nothing behind, unless there are sandboxes to leave to the next one.
  const ending = { all: new SandboxRecords(store).alive().length === 0 };
  const machine = await openMachine({ options, store, log, stack, ending });
  const parts = await assemble({ options, store, log, hooks, stack, ending, reserve, ...machine });
  const server = stack.use(await listen(parts, store));
  const owned = stack.move();
  ending.all = false;
  let gone: Promise<void> | undefined;
  const stop = (all: boolean) => {
    ending.all ||= all;
    gone ??= owned.disposeAsync();
    return gone;
  };
  log.info({ port: server.port, dataDir: options.dataDir }, "engine ready");
  return {
    port: server.port,
    url: `http://127.0.0.1:${server.port}`,
    shutdown: () => stop(true),
    [Symbol.asyncDispose]: () => stop(false),
  };
}

/** Where the disk is full already, its room is what the start itself needs. */
function openReserve(options: EngineOptions, log: Logger): DiskReserve {
  const stateDir = join(options.dataDir, "runtime");
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const { reserve: path } = layoutOf(stateDir, "");
  const reserve = new DiskReserve({ path, bytes: options.diskReserveBytes, tell: (message) => log.warn(message) });
  reserve.check();
  return reserve;
}

interface Foundation {
  options: EngineOptions;
  store: Store;
  log: Logger;
  stack: AsyncDisposableStack;
  /** Whether stopping ends the sandboxes too; decided when it stops. */
  ending: { all: boolean };
}

async function openMachine({
  options,
  store,
  log,
  stack,
  ending,
}: Foundation): Promise<{ runtime: Runtime; network: Network }> {
  const instance = instanceName(store);
  const runtime = stack.adopt(
    await createRuntime({
      stateDir: join(options.dataDir, "runtime"),
      ociRuntime: options.ociRuntime,
      instance,
      disk: {
        quota: options.disk.quota,
        convertUpTo: diskLimit(options.disk, options.disk.convertUpToBytes),
      },
      reserves: {
        ...(options.keepFree.diskBytes === undefined ? {} : { diskBytes: options.keepFree.diskBytes }),
        ...(options.keepFree.memoryBytes === undefined ? {} : { memoryBytes: options.keepFree.memoryBytes }),
        ...(options.memory.totalBytes === undefined ? {} : { totalMemoryBytes: options.memory.totalBytes }),
      },
      output: options.output,
      log: {
        info: (message) => log.info({ part: "runtime" }, message),
        warn: (message) => log.warn({ part: "runtime" }, message),
      },
    }),
    (opened) => (ending.all ? opened.shutdown() : opened[Symbol.asyncDispose]()),
  );
  const records = new SandboxRecords(store);
  const network = stack.adopt(
    await createNetwork({
      stateDir: join(options.dataDir, "network"),
      instance,
      publishedServices: options.publishedServices,
      ownerOf: (id) => (records.exists(id) ? records.byId(id).spec.idOwner : undefined),
      log: log.child({ part: "network" }),
    }),
    (opened) => (ending.all ? opened.destroyAll() : opened[Symbol.asyncDispose]()),
  );
  return { runtime, network };
}

async function assemble(
  foundation: Foundation & { runtime: Runtime; network: Network; hooks: EngineHooks; reserve: DiskReserve },
): Promise<ServiceContext> {
  const { options, store, log, runtime, network, hooks, stack, ending, reserve } = foundation;
  const imageRoot = options.imageCacheDir ?? join(options.dataDir, "images");
  const layers = openLayerStore(imageRoot);
  const machine = hooks.machine ?? readMachineSettings();
  const secrets = createSecrets(store);
  const volumes = new Volumes(store, options);
  const buildLogs = createBuildLogs(options.dataDir, hooks.onBuildLog);
  const builds = createBuildRunner({ options, store, layers, machine, secrets, runtime, network });
  const images = new Images({
    store,
    layers,
    secrets,
    logs: buildLogs,
    run: builds.run,
    abandonedMs: options.buildAbandonedMs,
    log,
  });
  builds.images = images;
  const records = new SandboxRecords(store);
  const sandboxes = stack.use(createSandboxes({ options, store, records, images, volumes, runtime, network, log }));
  await sandboxes.recover();
  // Only now: steps of builds that were cut have ended, and write nothing any more.
  await removeLeftovers(imageRoot);
  const execs = stack.use(new Execs({ options, store, records, sandboxes, images, secrets, runtime, log }));
  execs.recover();
  stack.use(builds);
  stack.use(startHousekeeping({ options, records, runtime, volumes, network, images, secrets, reserve, log }));
  stack.defer(async () => {
    if (!ending.all) return;
    await Promise.allSettled(records.alive().map((record) => sandboxes.end(record.id, "terminated")));
  });
  const { tokenId, tokenSecret } = options;
  return {
    options,
    log,
    tokens: createTokens({ tokenId, tokenSecret, signKey: store.keys.sign }),
    apps: createApps(store),
    secrets,
    volumes,
    images,
    buildLogs,
    records,
    sandboxes,
    execs,
    runtime,
    network,
    routerUrl: () => "",
  };
}

/** A short name for this data directory, chosen once: it prefixes namespaces, interfaces and cgroups of the machine. */
function instanceName(store: Store): string {
  const known = store.meta("instance");
  if (known !== undefined) return known;
  let name = "";
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  for (const byte of crypto.getRandomValues(new Uint8Array(6))) name += letters.charAt(byte % letters.length);
  store.setMeta("instance", name);
  return name;
}
