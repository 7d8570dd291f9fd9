import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { Server as HttpServer } from "node:http";
import { join } from "node:path";
import type { FaultCounts } from "@holdfast/std";
import { createAdaptorServer } from "@hono/node-server";
import type { ModalClient } from "modal";
import { type Logger, pino } from "pino";
import { DbEventLog } from "./adapters/db/event-log.ts";
import { HttpGateway, noGateway } from "./adapters/gateway/http-gateway.ts";
import { S3Storage } from "./adapters/s3/storage.ts";
import { composeLeases } from "./compose-leases.ts";
import { composeWork, installationOf } from "./compose-work.ts";
import { parseOptions, type ServerOptions, type ServerOptionsInput } from "./config/options.ts";
import { readS3Config } from "./config/s3-config.ts";
import { readWebFiles, type WebFiles } from "./config/web-files.ts";
import type { AppContext } from "./context.ts";
import { noteDatabase, openBus, openServerDatabase } from "./database.ts";
import { Accounts } from "./domain/accounts/accounts.ts";
import { ApiKeys } from "./domain/accounts/keys.ts";
import { Logins } from "./domain/accounts/logins.ts";
import { AccountRemoval } from "./domain/accounts/removal.ts";
import { Agents } from "./domain/agents/agents.ts";
import { ClaudeStateReader } from "./domain/claude-state/claude-state.ts";
import type { LeaseTimings } from "./domain/leases/membership.ts";
import { Messages } from "./domain/messages/messages.ts";
import { PermissionRules } from "./domain/questions/rules.ts";
import type { SandboxImage } from "./domain/sandboxes/image.ts";
import { Sessions } from "./domain/sessions/sessions.ts";
import { accountPrefix } from "./domain/storage/account-prefix.ts";
import { createApp } from "./http/app.ts";
import { isWebSocket, serveUpgrades } from "./http/upgrade.ts";
import { type Clock, systemClock } from "./ports/clock.ts";
import type { EventLog } from "./ports/event-log.ts";
import type { ModelGateway } from "./ports/model-gateway.ts";
import type { StorageState } from "./ports/object-store.ts";
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
  const base = await openBase(composing, closing.signal);
  const { log, storage } = base;
  const work = composeWork({
    ...base,
    options,
    logger,
    stack,
    closing,
    provider: extras.provider,
    wrapModalClient: extras.wrapModalClient,
    guestBundle: extras.guestBundle,
    wakeupClock: extras.clock ?? systemClock,
    removeAccounts: (signal) => accountRemoval.retry(signal),
  });
  const domain = composeDomain(composing, base, work);
  const { accountRemoval, keys, logins } = domain;
  let port = options.port;
  const context: AppContext = {
    ...domain,
    ...(await composeSurroundings(composing, base, work)),
    defaultAccount: await domain.accounts.ensureDefault(),
    port: () => port,
    closing: closing.signal,
  };
  const app = createApp(context);
  const http = createAdaptorServer({
    fetch: app.fetch,
    hostname: options.host,
    serverOptions: { shouldUpgradeCallback: isWebSocket },
  }) as HttpServer;
  serveUpgrades(http, app, { logger });
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
    held: () => ({ ...work.held(), keys: keys.inUse, logins: logins.inUse }),
    endTurns: async () => {
      if (ended) return;
      ended = true;
      await work.end();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

type Base = Awaited<ReturnType<typeof openBase>>;
type Work = ReturnType<typeof composeWork>;

/** What everything stands on: the database and who else works on it, the gateway, the storage. */
async function openBase({ options, logger, extras, stack }: Composing, signal: AbortSignal) {
  const { db } = stack.use(await openServerDatabase(options, logger.child({ part: "database" })));
  noteDatabase(options);
  const bus = stack.use(openBus(options, db, logger.child({ part: "bus" })));
  const log = stack.use(new DbEventLog(db, { clock: systemClock, bus }));
  const leases = await composeLeases({
    db,
    bus,
    dataDir: options.dataDir,
    logger: logger.child({ part: "leases" }),
    stack,
    timings: extras.leaseTimings,
  });
  const gateway: ModelGateway = options.gateway === undefined ? noGateway : new HttpGateway(options.gateway);
  const s3 = readS3Config(options.s3);
  const storage = new S3Storage(s3);
  const opened = await storage.open(signal);
  if (opened.on) logger.info({ bucket: opened.store.bucket }, "workspaces are saved to S3 after every turn");
  else logger.warn({ reason: opened.reason }, "workspaces are not saved to S3");
  return { db, bus, log, leases, gateway, s3: "missing" in s3 ? undefined : s3, storage };
}

/** What requests are about. */
function composeDomain({ options, logger }: Composing, { db, bus, log }: Base, work: Work) {
  const clock = systemClock;
  const { turns, erasures, workspaces, environments } = work;
  const { permissionMode } = options.sandbox;
  const conversations = { db, log, clock, installationId: installationOf(options), permissionMode, turns, erasures };
  const keys = new ApiKeys({ db, clock, bus, logger: logger.child({ part: "keys" }) });
  const logins = new Logins({
    db,
    clock,
    bus,
    linkSecret: options.loginSecret,
    logger: logger.child({ part: "logins" }),
  });
  const sessions = new Sessions(conversations);
  const removal = { ...work.removal, db, clock, logger: logger.child({ part: "accounts" }) };
  return {
    accounts: new Accounts({ db, clock }),
    accountRemoval: new AccountRemoval({ ...removal, keys, logins, sessions, workspaces }),
    keys,
    logins,
    workspaces,
    permissionRules: new PermissionRules({ db, clock }),
    sandboxes: work.directory,
    terminals: work.terminals,
    sessions,
    messages: new Messages(conversations),
    claudeState: new ClaudeStateReader({
      db,
      ask: (sessionId, ask) => turns.askClaude(sessionId, ask),
      answerMs: options.sandbox.claudeAnswerMs,
    }),
    agents: new Agents({ db, clock }),
    environments,
    log,
  };
}

/** What requests ask of the installation itself. */
async function composeSurroundings({ options, logger, extras }: Composing, base: Base, work: Work) {
  const { db, gateway, storage } = base;
  return {
    options,
    web: extras.web ?? (await readWebFiles(options.webDir)),
    version,
    logger,
    gateway,
    state: () => ({
      image: imageStatus(work.image),
      storage: (accountId: string) => storageStatus(storage.state, accountId),
    }),
    lastSweep: () => work.sweep.last,
    cookieSecret: options.cookieSecret ?? ownCookieSecret(options.dataDir),
    faults: extras.faults ?? (() => ({})),
    missing: readiness({ db, gateway, provider: work.provider }),
  };
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
