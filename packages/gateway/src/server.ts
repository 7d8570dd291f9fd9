import { chmod, mkdir } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createScriptedModel } from "@holdfast/scripted-model";
import { type Logger, pino } from "pino";
import { type AdminApiContext, handleAdminApi } from "./admin-api.ts";
import { sendError } from "./anthropic-error.ts";
import { GatewayOptions, type GatewayOptionsInput } from "./config/options.ts";
import { CredentialStore } from "./credential-store.ts";
import { openDatabase } from "./database.ts";
import { Ledger } from "./ledger.ts";
import { LiveCalls } from "./live-calls.ts";
import { handleModelApi, type ModelApiContext } from "./model-api.ts";
import { BodyReader } from "./request-body.ts";
import { Revocations } from "./revocations.ts";
import { expectAnnouncements } from "./speaker.ts";
import { Upstream } from "./upstream.ts";

/** A running gateway. */
export interface Gateway extends AsyncDisposable {
  /** The model API, for `ANTHROPIC_BASE_URL`. */
  readonly url: string;
  readonly port: number;
  readonly adminUrl: string;
  readonly adminPort: number;
  /** What requests meet now. */
  readonly mode: "anthropic" | "scripted";
}

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "[::1]"]);
/** Longer than any client keeps an idle connection, so that the client is the one to close it. */
const KEEP_ALIVE_MS = 75_000;

/** Starts a gateway in this process. Throws when an option is wrong, the data directory unusable or a port taken. */
export async function startGateway(input: GatewayOptionsInput, deps: { log?: Logger } = {}): Promise<Gateway> {
  const options = GatewayOptions.parse(input);
  const log = deps.log ?? pino({ level: "silent" });
  await mkdir(options.dataDir, { recursive: true, mode: 0o700 });
  await chmod(options.dataDir, 0o700);
  await using stack = new AsyncDisposableStack();
  const db = stack.adopt(openDatabase(options.dataDir), (open) => open.close());
  const credentials = await CredentialStore.open({
    dataDir: options.dataDir,
    hashSecret: options.tokenSecret,
    environmentKey: options.credential,
  });
  const shared = {
    bodies: new BodyReader(options),
    credentials,
    revocations: new Revocations(db),
    ledger: new Ledger(db),
    live: new LiveCalls(),
    scripted: createScriptedModel(dropUndefined(options.scriptedModel)),
    log,
  };
  const upstream = stack.use(
    new Upstream({ url: options.upstream, silenceMs: options.upstreamSilenceMs, connectMs: options.upstreamConnectMs }),
  );
  const model: ModelApiContext = {
    ...shared,
    tokenSecret: options.tokenSecret,
    announced: options.announced,
    upstream,
  };
  const admin: AdminApiContext = {
    ...shared,
    adminToken: options.adminToken,
    allowScripts: options.scriptedModel.allowScripts,
  };
  const doors = { model, admin, names: new Set(options.allowedHosts.map((name) => name.toLowerCase())) };
  const separate = options.adminPort !== undefined;
  const main = await listen(stack, { door: { ...doors, serves: separate ? "model" : "both" }, at: options });
  const side = separate
    ? await listen(stack, { door: { ...doors, serves: "admin" }, at: { host: "127.0.0.1", port: options.adminPort } })
    : main;
  // Disposed first: the answers under way end, then listeners, connections and files close.
  stack.defer(() => {
    shared.live.cut(() => true, "the gateway is stopping");
  });
  const owned = stack.move();
  const mode = credentials.current ? "anthropic" : "scripted";
  log.info({ mode, upstream: options.upstream, port: main, adminPort: side }, "gateway started");
  return {
    url: urlOf(options.host, main),
    port: main,
    adminUrl: urlOf(separate ? "127.0.0.1" : options.host, side),
    adminPort: side,
    get mode() {
      return credentials.current ? "anthropic" : "scripted";
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Door {
  readonly model: ModelApiContext;
  readonly admin: AdminApiContext;
  readonly names: ReadonlySet<string>;
  readonly serves: "model" | "admin" | "both";
}

async function listen(
  stack: AsyncDisposableStack,
  { door, at }: { door: Door; at: { host: string; port: number | undefined } },
): Promise<number> {
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (req, res) => {
    route(door, req, res).catch((error: unknown) => {
      door.model.log.error({ error: error instanceof Error ? error.message : String(error) }, "request failed");
      sendError(res, {
        status: 500,
        type: "api_error",
        message: "The gateway failed on this request; its log says more.",
      });
    });
  });
  // The admin API is asked from this machine alone.
  if (door.model.announced && door.serves !== "admin") expectAnnouncements(server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(at.port ?? 0, at.host, () => resolve());
  });
  // No memory or descriptor for a connection is that connection's trouble, and no exception.
  server.on("error", (error) => door.model.log.warn({ error: error.message }, "a connection could not be accepted"));
  stack.defer(() => close(server));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The gateway has no TCP address.");
  return address.port;
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function route(door: Door, req: IncomingMessage, res: ServerResponse): Promise<void> {
  // With two names in one request, which of them counts is anybody's guess.
  if (!req.url?.startsWith("/")) {
    const message = "The gateway is no proxy: ask for a path.";
    sendError(res, { status: 400, type: "invalid_request_error", message, final: true });
    return;
  }
  const name = (req.headers.host ?? "").toLowerCase().replace(/:\d*$/, "");
  if (!door.names.has(name)) {
    const message = "The gateway does not answer under this host name.";
    sendError(res, { status: 421, type: "invalid_request_error", message, final: true });
    return;
  }
  if (req.headers.origin !== undefined) {
    const message = "The gateway does not answer web pages.";
    sendError(res, { status: 403, type: "permission_error", message, final: true });
    return;
  }
  const wantsAdmin = req.url?.startsWith("/admin/") ?? false;
  // Under the name that sandboxes use there is no admin API, whatever token is sent.
  if (wantsAdmin && door.serves !== "model" && LOOPBACK_NAMES.has(name))
    return await handleAdminApi(door.admin, req, res);
  if (!wantsAdmin && door.serves !== "admin") return await handleModelApi(door.model, req, res);
  sendError(res, {
    status: 404,
    type: "not_found_error",
    message: `The gateway has no ${req.method} ${req.url.slice(0, 200)}.`,
  });
}

function urlOf(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function dropUndefined(options: GatewayOptions["scriptedModel"]) {
  const { deltaDelayMs, deltaChars, recordLimit, allowScripts } = options;
  return {
    ...(deltaDelayMs === undefined ? {} : { deltaDelayMs }),
    ...(deltaChars === undefined ? {} : { deltaChars }),
    // Prompts stay in memory only where a test asks for them.
    recordLimit: allowScripts ? (recordLimit ?? 1000) : 0,
  };
}
