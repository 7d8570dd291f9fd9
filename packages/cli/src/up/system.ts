import { chmodSync, mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { addCounts, type FaultCounts } from "@holdfast/std";
import { CliError } from "../command.ts";
import { makeLoginUrl } from "../local/login-url.ts";
import { Service, type ServiceSpec } from "./child.ts";
import { lockDataDir } from "./lock.ts";
import { type PlanInput, plan, type Services } from "./plan.ts";
import { rememberedPorts, rememberPorts } from "./ports.ts";
import { predecessorsGone } from "./predecessors.ts";
import { Restarts } from "./restarts.ts";
import { loadSecrets } from "./secrets.ts";

export interface StartOptions {
  dataDir: string;
  /** 0 chooses a free one. */
  port: number;
  anthropicApiKey?: string;
  /** Base images and layers, shared between data directories (tests). Default: inside the data directory. */
  imageCacheDir?: string;
  /** PostgreSQL; absent: a SQLite file in the data directory. */
  databaseUrl?: string;
  /** Changes what a service is started with; tests use it. */
  adjust?: NonNullable<PlanInput["adjust"]>;
  onProgress?: (text: string) => void;
  signal?: AbortSignal;
}

export interface RunningSystem extends AsyncDisposable {
  url: string;
  /** Logs a browser in, once, within a quarter of an hour. Another one each time that it is read. */
  readonly loginUrl: string;
  services: Services;
  /** Of all processes since the start, those of services that have ended included. Zeros are told too. */
  faults(): { unhandledRejections: FaultCounts; crashes: FaultCounts };
  /** With `endTurns`, turns, sandboxes and everything they hold are ended; without, they wait for the next start. */
  stop(options: { endTurns: boolean }): Promise<void>;
}

/** Starts every service of one installation and keeps them running. Throws CliError. */
export async function startSystem(options: StartOptions): Promise<RunningSystem> {
  const dataDir = prepareDataDir(options.dataDir);
  const lock = lockDataDir(dataDir);
  const stack = new AsyncDisposableStack();
  stack.defer(() => lock.release());
  try {
    // With 0 the server takes a free one itself: one chosen here could be gone by then.
    if (options.port !== 0) await checkPort(options.port);
    return await startServices({ ...options, dataDir }, stack);
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

function prepareDataDir(path: string): string {
  const dataDir = resolve(path);
  // Node's recursive mkdir never returns below /proc.
  const kernels = ["/proc", "/sys", "/dev"].find((each) => dataDir === each || dataDir.startsWith(`${each}/`));
  if (kernels !== undefined)
    throw new CliError(
      `The data directory ${dataDir} cannot be used`,
      `${kernels} is the kernel's.`,
      "Choose another with --data-dir.",
    );
  try {
    mkdirSync(join(dataDir, "run"), { recursive: true });
    // Service users must be able to pass through to their own directories, and to see nothing else.
    chmodSync(dataDir, 0o711);
    chmodSync(join(dataDir, "run"), 0o700);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CliError(`The data directory ${dataDir} cannot be used`, why, "Choose another with --data-dir.", {
      cause: error,
    });
  }
  return dataDir;
}

async function startServices(options: StartOptions, stack: AsyncDisposableStack): Promise<RunningSystem> {
  const secrets = loadSecrets(options.dataDir);
  const say = options.onProgress ?? (() => undefined);
  let stopping = false;
  const hooks = {
    runDir: join(options.dataDir, "run"),
    onExit: (service: Service, ended: { reason: string; livedMs: number }) => {
      if (!stopping) restarts.again(service, ended);
    },
    // The server's `/health` tells of all.
    onFaults: () => tellServer(),
  };
  const tellServer = () => services.server.tell({ unhandledRejections: faultsElsewhere(services) });
  const restarts = new Restarts({
    say,
    stopping: () => stopping,
    back: (service) => {
      if (service === services.server) tellServer();
    },
  });
  const ports = rememberedPorts(hooks.runDir);
  const specs = plan({ ...options, secrets, packagesDir: fileURLToPath(new URL("../../../", import.meta.url)) });
  const make = (name: ServiceSpec["name"]) =>
    new Service(
      specs[name](() => services),
      hooks,
    );
  const services: RunningSystem["services"] = {
    s3: make("s3"),
    gateway: make("gateway"),
    engine: make("engine"),
    server: make("server"),
  };
  const stop = async ({ endTurns }: { endTurns: boolean }) => {
    if (stopping) return;
    stopping = true;
    const signalName = endTurns ? "SIGINT" : "SIGTERM";
    // The server first: it still needs the others to end its turns.
    await services.server.stop(signalName, endTurns ? 60_000 : 10_000);
    await services.engine.stop(signalName, 30_000);
    await Promise.all([services.gateway.stop("SIGTERM", 5_000), services.s3.stop("SIGTERM", 5_000)]);
    await stack.disposeAsync();
  };
  try {
    await predecessorsGone(hooks.runDir, options.signal);
    say("Starting storage and model gateway");
    const start = (service: Service) => service.startAgain(ports[service.spec.name], options.signal);
    await Promise.all([start(services.s3), start(services.gateway)]);
    say("Starting the engine");
    await start(services.engine);
    say("Starting the server");
    await start(services.server);
    rememberPorts(hooks.runDir, Object.values(services));
    tellServer();
  } catch (error) {
    await stop({ endTurns: true });
    throw error;
  }
  const url = `http://127.0.0.1:${Number(services.server.ready?.port)}`;
  return {
    url,
    get loginUrl() {
      return makeLoginUrl(url, secrets.loginSecret);
    },
    services,
    faults: () => {
      const all = Object.values(services);
      return {
        unhandledRejections: addCounts(...all.map((service) => service.faults)),
        crashes: Object.fromEntries(all.map(({ spec, crashes }) => [spec.name, crashes])),
      };
    },
    stop,
    [Symbol.asyncDispose]: () => stop({ endTurns: true }),
  };
}

/** What the server's present process has not counted itself. */
function faultsElsewhere({ server, ...others }: RunningSystem["services"]): FaultCounts {
  return addCounts(server.faultsBefore, ...Object.values(others).map((service) => service.faults));
}

function listenOnce(port: number): Promise<void> {
  return new Promise((done, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(port, "127.0.0.1", () => probe.close(() => done()));
  });
}

async function checkPort(port: number): Promise<void> {
  try {
    await listenOnce(port);
  } catch (error) {
    const why =
      (error as NodeJS.ErrnoException).code === "EADDRINUSE"
        ? "Another program listens on it, perhaps a Holdfast that is still running."
        : error instanceof Error
          ? error.message
          : String(error);
    throw new CliError(
      `Port ${port} of 127.0.0.1 is not free`,
      why,
      `End that program, or choose another port: --port ${port + 1}.`,
      {
        cause: error,
      },
    );
  }
}
