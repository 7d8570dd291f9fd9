import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { sha256Hex } from "../wire/sigv4.ts";
import { writeXml, type XmlFields } from "../wire/xml.ts";
import { type AuthOptions, authenticate } from "./auth.ts";
import { sendXml } from "./context.ts";
import { EndedSessions } from "./ended-sessions.ts";
import { Fault, toFault } from "./faults.ts";
import { isBucketName } from "./ops/buckets.ts";
import { answerSts, STS_NAMESPACE } from "./ops/sts.ts";
import { readRequest, type S3Request, withHoistedHeaders } from "./request.ts";
import { route } from "./router.ts";
import { loadSealingSecret, SessionSeal } from "./sessions.ts";
import { ObjectStore } from "./store/store.ts";
import { UploadStore } from "./store/uploads.ts";

/** What the server tells about itself; pino fits. */
export interface S3Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface S3ServerOptions {
  /** Made if it is not there; mode 0700. Only one server may use it. */
  readonly dataDir: string;
  /** The key with all rights. */
  readonly accessKeyId: string;
  /** At least 16 characters. */
  readonly secretAccessKey: string;
  /** Default 127.0.0.1. */
  readonly host?: string | undefined;
  /** Default 0: any free port. */
  readonly port?: number | undefined;
  /** Default us-east-1. Signatures for any region are taken. */
  readonly region?: string | undefined;
  /** Made at start where they do not exist. */
  readonly buckets?: readonly string[] | undefined;
  /** `bucket.{domain}` addresses a bucket. Default localhost and s3.holdfast.internal. */
  readonly virtualHostDomains?: readonly string[] | undefined;
  /** Requests at once; more are answered 503 SlowDown. Default 256. */
  readonly maxConcurrent?: number | undefined;
  /** A connection without a byte for this long is closed. Default 60 s. */
  readonly idleTimeoutMs?: number | undefined;
  /** What uploads leave free of the disk; default: see `defaultKeepFree`, 0: nothing. */
  readonly keepFreeBytes?: number | undefined;
  /** False skips fsync: for measurements only. */
  readonly durable?: boolean | undefined;
  readonly logger?: S3Logger | undefined;
  /** Milliseconds since the epoch; for tests. */
  readonly now?: (() => number) | undefined;
  /**
   * Runs between opening the port and using the data directory; main.ts drops privileges here. Gives the path by
   * which the directory can be reached from now on.
   */
  readonly beforeData?: (() => string) | undefined;
}

export interface S3Server extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** `http://host:port` */
  readonly url: string;
}

const MAX_STS_BYTES = 64 * 1024;
const DRAIN_BYTES = 64 * 1024 * 1024;
const DRAIN_MS = 30_000;
/** Nobody comes back to an upload after this; it is forgotten, at the start and then every hour. */
const UPLOAD_LIFE_MS = 7 * 24 * 3600_000;
const TIDY_EVERY_MS = 3600_000;
const CLOSE_GRACE_MS = 5_000;

class RunningServer implements S3Server {
  readonly #http: Server;
  readonly #options: S3ServerOptions;
  #auth: AuthOptions | undefined;
  #store: ObjectStore | undefined;
  #uploads: UploadStore | undefined;
  #tidying: NodeJS.Timeout | undefined;
  #active = 0;
  #disposed: Promise<void> | undefined;

  constructor(options: S3ServerOptions) {
    this.#options = options;
    // Timers of ours judge slow bodies, because a large one may rightly take hours.
    this.#http = createServer({ requestTimeout: 0, headersTimeout: 20_000, maxHeaderSize: 32 * 1024 });
    this.#http.timeout = options.idleTimeoutMs ?? 60_000;
    this.#http.keepAliveTimeout = 65_000;
    this.#http.maxConnections = 1024;
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
      this.#serve(request, response).catch((error: unknown) => {
        options.logger?.error({ err: error }, "request handler failed");
        response.destroy();
      });
    };
    this.#http.on("request", onRequest);
    // The body is asked for only when it is wanted: a refused upload costs the client nothing.
    this.#http.on("checkContinue", onRequest);
  }

  async start(): Promise<this> {
    const { host = "127.0.0.1", port = 0 } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#http.once("error", reject);
      this.#http.listen(port, host, () => {
        this.#http.off("error", reject);
        // No memory or descriptor for a connection is that connection's trouble, and no exception.
        this.#http.on("error", (error) => this.#options.logger?.error({ err: error }, "a connection was not accepted"));
        resolve();
      });
    });
    try {
      await this.#openData();
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
    return this;
  }

  async #openData(): Promise<void> {
    const { accessKeyId, secretAccessKey, durable = true, buckets = [], now = Date.now, keepFreeBytes } = this.#options;
    const dataDir = this.#options.beforeData?.() ?? this.#options.dataDir;
    const store = await ObjectStore.open({ dataDir, displayName: this.#options.dataDir, durable, keepFreeBytes });
    this.#store = store;
    const seal = new SessionSeal(await loadSealingSecret(dataDir), secretAccessKey);
    for (const bucket of buckets) {
      if (!isBucketName(bucket)) throw new Error(`"${bucket}" is not a valid bucket name (3-63 of a-z, 0-9, - and .)`);
      await store.createBucket(bucket);
    }
    const ended = await EndedSessions.load({ dataDir, directories: store.directories, now });
    this.#auth = { accessKeyId, secretAccessKey, seal, ended, now };
    const uploads = new UploadStore(store);
    const tidy = (): Promise<void> => uploads.dropBefore(now() - UPLOAD_LIFE_MS);
    await tidy();
    this.#uploads = uploads;
    this.#tidying = setInterval(() => {
      tidy().catch((error: unknown) => {
        this.#options.logger?.error({ err: error }, "old uploads could not be removed; the next round tries again");
      });
    }, TIDY_EVERY_MS).unref();
  }

  get #address(): AddressInfo {
    const address = this.#http.address();
    if (address === null || typeof address === "string") throw new Error("the S3 server is not listening");
    return address;
  }

  get host(): string {
    return this.#address.address;
  }

  get port(): number {
    return this.#address.port;
  }

  get url(): string {
    const host = this.host.includes(":") ? `[${this.host}]` : this.host;
    return `http://${host}:${this.port}`;
  }

  async #serve(raw: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = randomBytes(8).toString("hex").toUpperCase();
    const startedMs = performance.now();
    response.setHeader("x-amz-request-id", requestId);
    response.setHeader("server", "holdfast-s3");
    this.#active += 1;
    try {
      await this.#dispatch(raw, response, requestId);
    } catch (error) {
      this.#refuse({ raw, response, requestId }, error);
    } finally {
      this.#active -= 1;
      const durationMs = Math.round(performance.now() - startedMs);
      const path = raw.url?.split("?", 1)[0];
      this.#options.logger?.debug(
        { requestId, method: raw.method, path, status: response.statusCode, durationMs },
        "request",
      );
    }
  }

  async #dispatch(raw: IncomingMessage, response: ServerResponse, requestId: string): Promise<void> {
    const { maxConcurrent = 256, virtualHostDomains = ["localhost", "s3.holdfast.internal"] } = this.#options;
    const [auth, store, uploads] = [this.#auth, this.#store, this.#uploads];
    if (!auth || !store || !uploads || this.#active > maxConcurrent) {
      response.setHeader("retry-after", "1");
      throw new Fault("SlowDown");
    }
    const request = readRequest(raw, virtualHostDomains);
    if (isStsCall(request)) {
      await serveSts(request, { response, auth, requestId });
      return;
    }
    const authenticated = authenticate(request, auth);
    const view = authenticated.presigned ? withHoistedHeaders(request) : request;
    const region = this.#options.region ?? "us-east-1";
    const run = route(view);
    await run({
      request: view,
      response,
      auth: authenticated,
      store,
      uploads,
      region,
      now: auth.now,
      logger: this.#options.logger,
    });
  }

  #refuse(exchange: { raw: IncomingMessage; response: ServerResponse; requestId: string }, error: unknown): void {
    const { raw, response, requestId } = exchange;
    const fault = toFault(error);
    if (fault.status >= 500) this.#options.logger?.error({ err: error, requestId }, "request failed");
    if (response.destroyed || raw.socket.destroyed) return;
    if (response.headersSent && response.getHeader("content-length") !== undefined) {
      // In the middle of an object: only a cut connection tells the client that it has not got everything.
      response.destroy();
      return;
    }
    this.#drain(raw, response);
    const fields = errorFields(fault, { resource: raw.url?.split("?", 1)[0] ?? "/", requestId });
    if (response.headersSent) response.end(writeXml("Error", fields).replace(/^<\?xml.*\n/, ""));
    else if (fault.status === 304) response.writeHead(304, { etag: `"${fault.details.ETag ?? ""}"` }).end();
    else if (raw.method === "HEAD") response.writeHead(fault.status, { "content-type": "application/xml" }).end();
    else sendXml(response, writeXml("Error", fields), fault.status);
  }

  /** A client that still sends hears the answer only if what it sends is taken; up to a limit. */
  #drain(raw: IncomingMessage, response: ServerResponse): void {
    if (raw.complete) return;
    // Without our "100 Continue" it may or may not send the body: the connection cannot be used again.
    if (raw.headers.expect !== undefined) response.setHeader("connection", "close");
    let taken = 0;
    const timer = setTimeout(() => raw.socket.destroy(), DRAIN_MS);
    raw.on("data", (chunk: Buffer) => {
      taken += chunk.length;
      if (taken > DRAIN_BYTES) raw.socket.destroy();
    });
    raw.on("error", () => undefined);
    raw.once("close", () => clearTimeout(timer));
    raw.once("end", () => clearTimeout(timer));
    raw.resume();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    clearInterval(this.#tidying);
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    this.#http.closeIdleConnections();
    const timer = setTimeout(() => this.#http.closeAllConnections(), CLOSE_GRACE_MS);
    await closed;
    clearTimeout(timer);
    await this.#store?.[Symbol.asyncDispose]();
  }
}

function errorFields(fault: Fault, about: { resource: string; requestId: string }): XmlFields {
  const known: [string, string][] = [
    ["Code", fault.code],
    ["Message", fault.message],
  ];
  return [...known, ...Object.entries(fault.details), ["Resource", about.resource], ["RequestId", about.requestId]];
}

function isStsCall(request: S3Request): boolean {
  const type = request.header("content-type") ?? "";
  return request.method === "POST" && request.path === "/" && type.startsWith("application/x-www-form-urlencoded");
}

interface StsExchange {
  readonly response: ServerResponse;
  readonly auth: AuthOptions;
  readonly requestId: string;
}

async function serveSts(request: S3Request, exchange: StsExchange): Promise<void> {
  const { response, auth, requestId } = exchange;
  try {
    const chunks: Buffer[] = [];
    let total = 0;
    if (request.raw.headers.expect !== undefined) response.writeContinue();
    for await (const chunk of request.raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > MAX_STS_BYTES) throw new Fault("EntityTooLarge");
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks);
    const { caller } = authenticate(request, auth, sha256Hex(body));
    const form = new URLSearchParams(body.toString("utf8"));
    sendXml(response, await answerSts({ form, caller, seal: auth.seal, ended: auth.ended, now: auth.now, requestId }));
  } catch (error) {
    const fault = toFault(error);
    if (fault.status >= 500 && fault.code === "InternalError") throw error;
    const fields: XmlFields = [
      [
        "Error",
        [
          ["Type", "Sender"],
          ["Code", fault.code],
          ["Message", fault.message],
        ],
      ],
      ["RequestId", requestId],
    ];
    sendXml(response, writeXml("ErrorResponse", fields, STS_NAMESPACE), fault.status);
  }
}

/**
 * Starts the embedded S3 server.
 * @throws Error where the port is taken, the data directory is in use or cannot be opened
 */
export async function startS3Server(options: S3ServerOptions): Promise<S3Server> {
  if (options.secretAccessKey.length < 16) throw new Error("secretAccessKey needs at least 16 characters");
  return await new RunningServer(options).start();
}
