import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { awsEncodePath, canonicalQuery, headerBytes } from "../wire/encode.ts";
import { amzDate, authorizationHeader, type Credentials } from "../wire/sigv4.ts";
import { errorFromAnswer, isRetryable, S3Error } from "./error.ts";
import { exactly, hashOf, isStream, lengthOf, type Outgoing, requireSendable } from "./outgoing.ts";

/** How long and how far a call may go. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** For the whole call with its retries, until the answer's headers (and body, where it is read here). */
  readonly timeoutMs?: number | undefined;
}

export interface TransportOptions {
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: Credentials;
  /** Default 64. */
  readonly maxSockets?: number | undefined;
  /** Tries in all. Default 4. */
  readonly attempts?: number | undefined;
  /** A connection without a byte for this long fails. Default 60 s. */
  readonly idleTimeoutMs?: number | undefined;
  readonly now?: (() => number) | undefined;
}

const DEFAULT_TIMEOUT_MS = 120_000;
const BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;
const MAX_TEXT_BYTES = 16 * 1024 * 1024;

/** Bytes of an answer as text, up to a limit. */
export async function readText(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    total += chunk.length;
    if (total > MAX_TEXT_BYTES) throw new Error("the answer is too long to be S3's");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Signs, sends, retries. One per endpoint; keeps connections. */
export class Transport implements Disposable {
  readonly #options: TransportOptions;
  readonly #endpoint: URL;
  readonly #agent: HttpAgent;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#endpoint = new URL(options.endpoint);
    if (!/^https?:$/.test(this.#endpoint.protocol) || this.#endpoint.pathname !== "/") {
      throw new Error(`S3 endpoint ${options.endpoint} must be http(s)://host[:port] without a path; correct it`);
    }
    const agent = { keepAlive: true, maxSockets: options.maxSockets ?? 64, scheduling: "lifo" as const };
    this.#agent = this.#endpoint.protocol === "https:" ? new HttpsAgent(agent) : new HttpAgent(agent);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  get endpoint(): URL {
    return this.#endpoint;
  }

  /** Sends and gives the answer as it comes; its body must be read or destroyed. @throws S3Error, AbortError */
  async stream(outgoing: Outgoing, call: CallOptions = {}): Promise<IncomingMessage> {
    const { signal, release } = deadline(call);
    try {
      return await this.#withRetries(outgoing, signal, async (answer) => answer);
    } finally {
      release();
    }
  }

  /** Sends and reads the whole answer. @throws S3Error, AbortError */
  async text(outgoing: Outgoing, call: CallOptions = {}): Promise<{ answer: IncomingMessage; text: string }> {
    const { signal, release } = deadline(call);
    try {
      return await this.#withRetries(outgoing, signal, async (answer) => ({ answer, text: await readText(answer) }));
    } finally {
      release();
    }
  }

  /** Sends and reads the whole answer, whatever its length. @throws S3Error, AbortError */
  async bytes(outgoing: Outgoing, call: CallOptions = {}): Promise<Buffer> {
    const { signal, release } = deadline(call);
    try {
      return await this.#withRetries(outgoing, signal, async (answer) => Buffer.concat(await answer.toArray()));
    } finally {
      release();
    }
  }

  async #withRetries<T>(
    outgoing: Outgoing,
    signal: AbortSignal,
    use: (answer: IncomingMessage) => Promise<T>,
  ): Promise<T> {
    requireSendable(outgoing);
    const attempts = outgoing.retry === false ? 1 : (this.#options.attempts ?? 4);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(outgoing, signal, use);
      } catch (thrown) {
        const error = asS3Error(thrown, outgoing, signal);
        if (attempt >= attempts || !isRetryable(error)) throw error;
        const waitMs = Math.min(BACKOFF_MS * 2 ** (attempt - 1), MAX_BACKOFF_MS) * (0.5 + Math.random());
        await delay(waitMs, undefined, { signal }).catch((cause: unknown) => {
          throw asS3Error(cause, outgoing, signal);
        });
      }
    }
  }

  async #once<T>(outgoing: Outgoing, signal: AbortSignal, use: (answer: IncomingMessage) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const answer = await this.#send(outgoing, signal);
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) {
      // Ends a read under way as well, for as long as the answer is being used here.
      const onAbort = (): void => {
        answer.destroy(signal.reason instanceof Error ? signal.reason : undefined);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        return await use(answer);
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    }
    const body = await readText(answer);
    const requestId = answer.headers["x-amz-request-id"];
    throw errorFromAnswer({
      status,
      body,
      requestId: typeof requestId === "string" ? requestId : undefined,
      bucket: outgoing.bucket,
      key: outgoing.key,
    });
  }

  #signed(outgoing: Outgoing): RequestOptions {
    const { body, query = [], service = "s3" } = outgoing;
    const payloadHash = hashOf(body);
    const date = amzDate((this.#options.now ?? Date.now)());
    const { credentials, region } = this.#options;
    const headers: Record<string, string> = { host: this.#endpoint.host, "x-amz-date": date };
    if (service === "s3") headers["x-amz-content-sha256"] = payloadHash;
    if (credentials.sessionToken !== undefined) headers["x-amz-security-token"] = credentials.sessionToken;
    for (const [name, value] of Object.entries(outgoing.headers ?? {})) headers[name.toLowerCase()] = value;
    const length = lengthOf(body);
    if (length !== undefined) headers["content-length"] = String(length);
    const path = awsEncodePath(outgoing.path);
    headers.authorization = authorizationHeader({
      method: outgoing.method,
      path,
      query,
      headers: Object.entries(headers),
      payloadHash,
      credentials,
      scope: { date: date.slice(0, 8), region, service },
      date,
    });
    const search = canonicalQuery(query);
    const wire = Object.entries(headers).map(([name, value]) => [name, headerBytes(value)]);
    return {
      method: outgoing.method,
      path: search === "" ? path : `${path}?${search}`,
      headers: Object.fromEntries(wire) as Record<string, string>,
    };
  }

  async #send(outgoing: Outgoing, signal: AbortSignal): Promise<IncomingMessage> {
    const { body } = outgoing;
    const secure = this.#endpoint.protocol === "https:";
    const request = (secure ? httpsRequest : httpRequest)({
      ...this.#signed(outgoing),
      host: this.#endpoint.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: this.#endpoint.port || (secure ? 443 : 80),
      agent: this.#agent,
      timeout: this.#options.idleTimeoutMs ?? 60_000,
      signal,
    });
    request.on("timeout", () =>
      request.destroy(Object.assign(new Error("no byte came in time"), { code: "ETIMEDOUT" })),
    );
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      request.once("response", resolve);
      request.once("error", reject);
    });
    // Later errors (after the answer began) reach the reader of the answer.
    request.on("error", () => undefined);
    if (!isStream(body)) {
      // Not as text: Node would then send the headers in UTF-8, too, and those are bytes already.
      request.end(typeof body === "string" ? Buffer.from(body) : body);
      return answered;
    }
    const sent = pipeline(exactly(body, outgoing), request);
    // An early answer ends the sending with an error that says less than the answer does.
    const failed = sent.then(
      () => answered,
      async (cause: unknown) => {
        const first = await Promise.race([answered.catch(() => undefined), delay(100, undefined)]);
        if (first) return first;
        throw cause;
      },
    );
    return await Promise.race([answered.catch(() => failed), failed]);
  }
}

function asS3Error(thrown: unknown, outgoing: Outgoing, signal: AbortSignal): S3Error {
  if (thrown instanceof S3Error) return thrown;
  const cause: unknown = signal.aborted ? signal.reason : thrown;
  const name = cause instanceof Error ? cause.name : "Error";
  // The caller's own abort is given back as it is.
  if (signal.aborted && name !== "TimeoutError") throw cause;
  const code = cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : name;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new S3Error({
    code: name === "TimeoutError" ? name : code,
    status: 0,
    message: `no answer to ${outgoing.method}: ${message}`,
    bucket: outgoing.bucket,
    key: outgoing.key,
    cause,
  });
}

/** A signal for the whole call, and what takes its timer away. */
function deadline(call: CallOptions): { signal: AbortSignal; release: () => void } {
  const timeout = new AbortController();
  const ms = call.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const timer = setTimeout(() => {
    timeout.abort(new DOMException(`not done within ${ms} ms`, "TimeoutError"));
  }, ms);
  const signal = call.signal ? AbortSignal.any([call.signal, timeout.signal]) : timeout.signal;
  return { signal, release: () => clearTimeout(timer) };
}
