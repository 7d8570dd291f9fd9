import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { Server as HttpServer } from "node:http";
import { join } from "node:path";
import type { FaultCounts } from "@holdfast/std";
import { createAdaptorServer } from "@hono/node-server";
import type { ModalClient } from "modal";
import { type Logger, pino } from "pino";
import type { OpenDatabase } from "./adapters/db/database.ts";
import { DbEventLog } from "./adapters/db/event-log.ts";
import { HttpGateway, noGateway } from "./adapters/gateway/http-gateway.ts";
import { ModalProvider, noProvider } from "./adapters/modal/provider.ts";
import { S3Storage } from "./adapters/s3/storage.ts";
import { composeLeases, type LeaseParts } from "./compose-leases.ts";
import { composeSweep } from "./compose-sweep.ts";
import { parseOptions, type ServerOptions, type ServerOptionsInput } from "./config/options.ts";
import { readS3Config, type S3Config } from "./config/s3-config.ts";
import { readWebFiles, type WebFiles } from "./config/web-files.ts";
import type { AppContext } from "./context.ts";
import { noteDatabase, openBus, openServerDatabase } from "./database.ts";
import { Accounts } from "./domain/accounts/accounts.ts";
import { ApiKeys } from "./domain/accounts/keys.ts";
import { Logins } from "./domain/accounts/logins.ts";
import { AccountRemoval } from "./domain/accounts/removal.ts";
import { Agents } from "./domain/agents/agents.ts";
import { Environments } from "./domain/environments/environments.ts";
import { EnvironmentImages, type Layers } from "./domain/environments/images.ts";
import type { LeaseTimings } from "./domain/leases/membership.ts";
import { Messages } from "./domain/messages/messages.ts";
import { PermissionRules } from "./domain/questions/rules.ts";
import { bundledGuest } from "./domain/sandboxes/bundled-guest.ts";
import { SandboxDirectory } from "./domain/sandboxes/directory.ts";
import { SandboxImage } from "./domain/sandboxes/image.ts";
import { claudeCodeTemplate } from "./domain/sandboxes/image-template.ts";
import { Revocations } from "./domain/sandboxes/revocations.ts";
import { SandboxCalls } from "./domain/sandboxes/sandbox-calls.ts";
import { Sandboxes } from "./domain/sandboxes/sandboxes.ts";
import { Erasures } from "./domain/sessions/erasures.ts";
import { Sessions } from "./domain/sessions/sessions.ts";
import { accountPrefix } from "./domain/storage/account-prefix.ts";
import { Syncs } from "./domain/storage/syncs.ts";
import { Turns } from "./domain/turns/turns.ts";
import { Wakeups } from "./domain/wakeups/wakeups.ts";
import { fromRow } from "./domain/workspaces/workspace-rows.ts";
import { Workspaces } from "./domain/workspaces/workspaces.ts";
import { createApp } from "./http/app.ts";
import { type Clock, systemClock } from "./ports/clock.ts";
import type { Database } from "./ports/database.ts";
import type { EventLog } from "./ports/event-log.ts";
import type { ModelGateway } from "./ports/model-gateway.ts";
import type { Storage, StorageState } from "./ports/object-store.ts";
import type { SandboxProvider } from "./ports/sandbox-provider.ts";
import { readiness } from "./readiness.ts";

export interface StartExtras {
  logger?: Logger;
  /** For tests: sees, or changes, every call of the Modal SDK. */
  wrapModalClient?: (client: ModalClient) => ModalClient;
  /** For tests: instead of Modal. */
  provider?: SandboxProvider;
  /** For tests: when wake-ups are due. */
  clock?: Clock;
  /** For tests: servers that are found dead sooner. */
  leaseTimings?: LeaseTimings;
  /** Read beforehand, by who may read the checkout. */
  guestBundle?: string;
  web?: WebFiles;
  /** Unhandled rejections by process, of all that is known here; told by `/health`. */
  faults?: () => FaultCounts;
}

export type HeldCounts = Record<"sessions" | "workspaces" | "keys" | "logins" | "images", number>;

export interface Server extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Whether turns' workspaces are saved to S3, and why not. */
  readonly storage: StorageState;
  /** For tests and measurements. */
  readonly log: EventLog;
  /** For tests and measurements: entries in memory, by what they are of. */
  held(): HeldCounts;
  /** Stops every turn, saves the workspaces, ends the sandboxes; then disposes. Without it they go on. */
  endTurns(): Promise<void>;
}

const version = (JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string })
  .version;

/** The whole server. Resolves when it listens; turns of before go on in the background. */
export async function startServer(input: ServerOptionsInput, extras: StartExtras = {}): Promise<Server> {
  const options = parseOptions(input);
  const logger = extras.logger ?? pino({ name: "server", level: options.logLevel }, pino.destination({ dest: 2 }));
  const stack = new AsyncDisposableStack();
  try {
    return await compose({ options, logger, extras, stack });
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

interface Composing {
  options: ServerOptions;
  logger: Logger;
  extras: StartExtras;
  stack: AsyncDisposableStack;
}

async function compose(composing: Composing): Promise<Server> {
  const { options, logger, extras, stack } = composing;
  const closing = new AbortController();
  const database = stack.use(await openServerDatabase(options, logger.child({ part: "database" })));
  noteDatabase(options);
  const bus = stack.use(openBus(options, database.db, logger.child({ part: "bus" })));
  const log = stack.use(new DbEventLog(database.db, { clock: systemClock, bus }));
  const leases = await composeLeases({
    db: database.db,
    bus,
    dataDir: options.dataDir,
    logger: logger.child({ part: "leases" }),
    stack,
    timings: extras.leaseTimings,
  });
  const gateway: ModelGateway = options.gateway === undefined ? noGateway : new HttpGateway(options.gateway);
  const s3 = readS3Config(options.s3);
  const storage = new S3Storage(s3);
  const opened = await storage.open(closing.signal);
  if (opened.on) logger.info({ bucket: opened.store.bucket }, "workspaces are saved to S3 after every turn");
  else logger.warn({ reason: opened.reason }, "workspaces are not saved to S3");
  const work = composeTurns(composing, {
    database,
    log,
    leases,
    gateway,
    s3: "missing" in s3 ? undefined : s3,
    storage,
    closing,
    removeAccounts: (signal) => accountRemoval.retry(signal),
  });
  const accounts = new Accounts({ db: database.db, clock: systemClock });
  let port = options.port;
  const conversations = {
    db: database.db,
    log,
    clock: systemClock,
    installationId: installationOf(options),
    permissionMode: options.sandbox.permissionMode,
    turns: work.turns,
    erasures: work.erasures,
  };
  const keys = new ApiKeys({ db: database.db, clock: systemClock, bus, logger: logger.child({ part: "keys" }) });
  const logins = new Logins({
    db: database.db,
    clock: systemClock,
    bus,
    linkSecret: options.loginSecret,
    logger: logger.child({ part: "logins" }),
  });
  const sessions = new Sessions(conversations);
  const accountRemoval = new AccountRemoval({
    ...work.removal,
    db: database.db,
    clock: systemClock,
    logger: logger.child({ part: "accounts" }),
    keys,
    logins,
    sessions,
    workspaces: work.workspaces,
  });
  const context: AppContext = {
    options,
    web: extras.web ?? (await readWebFiles(options.webDir)),
    version,
    logger,
    accounts,
    accountRemoval,
    keys,
    logins,
    workspaces: work.workspaces,
    permissionRules: new PermissionRules({ db: database.db, clock: systemClock }),
    sandboxes: work.directory,
    defaultAccount: await accounts.ensureDefault(),
    sessions,
    messages: new Messages(conversations),
    agents: new Agents({ db: database.db, clock: systemClock }),
    environments: work.environments,
    log,
    gateway,
    state: () => ({ image: imageStatus(work.image), storage: (accountId) => storageStatus(storage.state, accountId) }),
    lastSweep: () => work.sweep.last,
    cookieSecret: options.cookieSecret ?? ownCookieSecret(options.dataDir),
    port: () => port,
    closing: closing.signal,
    faults: extras.faults ?? (() => ({})),
    missing: readiness({ db: database.db, gateway, provider: work.provider }),
  };
  const http = createAdaptorServer({ fetch: createApp(context).fetch, hostname: options.host }) as HttpServer;
  port = await listen(http, options);
  // No memory or descriptor for a connection is that connection's trouble, and no exception.
  http.on("error", (error) => logger.warn({ err: error }, "a connection could not be accepted"));
  stack.defer(() => closeHttp(http, closing));
  work.start();
  let ended = false;
  const url = `http://${options.host.includes(":") ? `[${options.host}]` : options.host}:${port}`;
  logger.info({ url }, "listening");
  return {
    url,
    port,
    get storage() {
      return storage.state;
    },
    log,
    held: () => ({ ...work.held(), keys: context.keys.inUse, logins: context.logins.inUse }),
    endTurns: async () => {
      if (ended) return;
      ended = true;
      await work.end();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

interface WorkParts {
  database: OpenDatabase;
  log: EventLog;
  leases: LeaseParts;
  gateway: ModelGateway;
  s3: S3Config | undefined;
  storage: Storage;
  closing: AbortController;
  /** Goes on with the deletion of accounts. */
  removeAccounts: (signal: AbortSignal) => Promise<void>;
}

/** Everything that works on turns. Disposed in the opposite order: turns, syncs, then the hold on sandboxes. */
function composeTurns({ options, logger, extras, stack }: Composing, parts: WorkParts) {
  const { database, log, gateway, s3, storage, closing, removeAccounts } = parts;
  const { leases, dispatcher } = parts.leases;
  const { db } = database;
  const provider = extras.provider ?? modalProvider(options, logger, extras);
  const makeImage = (more: Layers) =>
    new SandboxImage({
      provider,
      template: async () => {
        const guestBundle = extras.guestBundle ?? (await bundledGuest());
        const { base, layers } = claudeCodeTemplate({ ...options.image, guestBundle });
        return { base, layers: [...layers, ...more] };
      },
      logger: logger.child({ part: "image" }),
      signal: closing.signal,
    });
  const image = makeImage([]);
  const images = new EnvironmentImages({ base: image, make: makeImage });
  const environments = new Environments({ db, clock: systemClock, images });
  stack.defer(() => closing.abort(new Error("the server stops")));
  const revocations = new Revocations({
    db,
    clock: systemClock,
    logger: logger.child({ part: "revocations" }),
    revoke: (id, signal) => gateway.revokeSandbox(id, signal),
  });
  const sandboxes = stack.use(
    new Sandboxes({
      db,
      clock: systemClock,
      leases,
      provider,
      installationId: installationOf(options),
      spec: ({ accountId }) => sandboxSpec(options, { accountId, gateway, s3 }),
      logger: logger.child({ part: "sandboxes" }),
      idleMs: options.sandbox.idleSandboxMs,
      onEnded: (id) => revocations.schedule(id),
      onStarted: (live) => erasures.eraseIn(live),
    }),
  );
  const erasures = new Erasures({
    db,
    logger,
    current: (id) => sandboxes.current(id),
    running: () => sandboxes.running(),
  });
  const syncs: Syncs = stack.use(
    new Syncs({
      db,
      log,
      clock: systemClock,
      logger: logger.child({ part: "syncs" }),
      storage,
      leases,
      generation: (sessionId) => turns.generation(sessionId),
      sandbox: (workspaceId, signal) => sandboxOf({ db, sandboxes }, workspaceId, signal),
    }),
  );
  const calls = new SandboxCalls({
    db,
    leases,
    dispatcher,
    sandboxes,
    provider,
    installationId: installationOf(options),
    logger: logger.child({ part: "sandboxes" }),
    settled: (workspaceId) => syncs.settledOf(workspaceId),
  });
  const workspaces = new Workspaces({
    db,
    log,
    clock: systemClock,
    installationId: installationOf(options),
    logger: logger.child({ part: "workspaces" }),
    sandboxes: calls,
    saved: (workspaceId) => calls.saved(workspaceId),
    deleteVolume: (name, signal) => provider.deleteVolume(name, signal),
  });
  const turns: Turns = stack.use(
    new Turns({
      db,
      log,
      clock: systemClock,
      leases,
      dispatcher,
      logger: logger.child({ part: "turns" }),
      gateway,
      environments,
      sandboxes,
      options: options.sandbox,
      isSaving: (workspaceId) => syncs.isSaving(workspaceId),
      onTurnEnd: (turn) => syncs.schedule(turn),
    }),
  );
  const wakeups = new Wakeups({
    db,
    log,
    clock: extras.clock ?? systemClock,
    logger: logger.child({ part: "wakeups" }),
    wake: (sessionId) => turns.wake(sessionId),
  });
  // Disposed of before the turns: nothing more is taken over then.
  stack.use(leases);
  const { sweep, strays, ender } = composeSweep({
    db,
    clock: systemClock,
    provider,
    leases,
    sandboxes,
    revocations,
    syncs,
    turns,
    workspaces,
    erasures,
    removeAccounts,
    installationId: installationOf(options),
    unknownKeptMs: options.unknownSandboxKeptMs,
    recordsKeptMs: options.recordsKeptMs,
    logger: logger.child({ part: "sweep" }),
  });
  stack.use(sweep);
  return {
    turns,
    erasures,
    image,
    environments,
    provider,
    workspaces,
    directory: new SandboxDirectory({ db, calls, strays, ender }),
    /** What the deletion of an account needs of all this. */
    removal: { ender, revocations, saved: (workspaceId: string) => calls.saved(workspaceId) },
    sweep,
    held: () => ({ sessions: turns.size, workspaces: leases.known, images: images.size }),
    start: () => {
      // Its failure is the status's and the next turn's to tell.
      image.get().catch(() => undefined);
      leases.start({
        dropAll: async (reason) => {
          await Promise.all([turns.letGo(), sandboxes.letGo(reason), syncs.letGo(reason)]);
        },
        taken: async (workspaceIds) => {
          // First: whatever is being saved later is this server's own.
          const saving = await syncs.openIn(workspaceIds);
          await turns.taken(workspaceIds);
          syncs.takeOver(saving);
        },
        look: async () => {
          await turns.look();
          await wakeups.look();
        },
      });
      if (provider !== noProvider) sweep.start(options.sweepEveryMs);
    },
    end: async () => {
      await turns.endAll();
      await syncs.settled();
      await sandboxes.stopAll();
    },
  };
}

async function sandboxOf(
  { db, sandboxes }: { db: Database; sandboxes: Sandboxes },
  workspaceId: string,
  signal: AbortSignal,
) {
  const row = await db.selectFrom("workspaces").selectAll().where("id", "=", workspaceId).executeTakeFirst();
  return row && (await sandboxes.adopt(fromRow(row), signal));
}

function modalProvider(options: ServerOptions, logger: Logger, { wrapModalClient }: StartExtras): SandboxProvider {
  if (options.modal === undefined) return noProvider;
  return new ModalProvider({
    ...options.modal,
    logger: sdkLogger(logger.child({ part: "modal" })),
    ...(wrapModalClient === undefined ? {} : { wrapClient: wrapModalClient }),
  });
}

/** The SDK warns of plain text on loopback for every handle; that is what is wanted here. */
function sdkLogger(logger: Logger) {
  const at = (level: "debug" | "info" | "warn" | "error") => (message: string) => {
    if (!message.includes("insecure")) logger[level](message);
  };
  return { debug: () => undefined, info: at("debug"), warn: at("warn"), error: at("error") };
}

/** Storage that is configured is told to every sandbox, whether it can be reached now or not. */
function sandboxSpec(
  { sandbox }: ServerOptions,
  { accountId, gateway, s3 }: { accountId: string; gateway: ModelGateway; s3: S3Config | undefined },
) {
  const { timeoutMs, memoryMiB, memoryLimitMiB, cpu, cpuLimit } = sandbox;
  const domains = [gateway.sandboxDomain, ...(s3 === undefined ? [] : [s3.sandboxDomain])];
  const told = s3 && JSON.stringify({ bucket: s3.bucket, keyPrefix: accountPrefix(accountId) });
  const env: Record<string, string> = told === undefined ? {} : { HOLDFAST_S3: told };
  return { timeoutMs, memoryMiB, memoryLimitMiB, cpu, cpuLimit, env, domains };
}

function installationOf(options: ServerOptions): string {
  return options.modal?.installationId ?? "local";
}

function imageStatus({ progress }: SandboxImage) {
  return { state: progress.state, detail: progress.detail };
}

function storageStatus(storage: StorageState, accountId: string) {
  if (!storage.on) return { state: "off" as const, bucket: null, key_prefix: null, reason: storage.reason };
  return {
    state: "on" as const,
    bucket: storage.store.bucket,
    key_prefix: accountPrefix(accountId),
    reason: null,
  };
}

/** Kept beside the database: logins outlive a restart. */
function ownCookieSecret(dataDir: string): string {
  const file = join(dataDir, "cookie.secret");
  if (!existsSync(file)) writeFileSync(file, randomBytes(32).toString("base64url"), { mode: 0o600, flag: "wx" });
  return readFileSync(file, "utf8").trim();
}

async function listen(http: HttpServer, { host, port }: ServerOptions): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  http.once("error", reject);
  http.listen(port, host, resolve);
  await promise;
  http.off("error", reject);
  const address = http.address();
  return typeof address === "object" && address !== null ? address.port : port;
}

/** Intake first, then the streams, then whoever still holds a connection. */
async function closeHttp(http: HttpServer, closing: AbortController): Promise<void> {
  const closed = new Promise<void>((resolve) => http.close(() => resolve()));
  closing.abort(new Error("the server stops"));
  http.closeIdleConnections();
  const timer = setTimeout(() => http.closeAllConnections(), 1_000);
  await closed;
  clearTimeout(timer);
}
