import { once } from "node:events";
import * as http from "node:http";
import * as https from "node:https";
import { type AnthropicError, sendError } from "./anthropic-error.ts";
import { SecretGuard } from "./secret-guard.ts";
import { createUsageMeter, type MeteredUsage } from "./usage-meter.ts";

export interface UpstreamOptions {
  readonly url: string;
  /** How long the upstream may say nothing. */
  readonly silenceMs: number;
  readonly connectMs: number;
}

export interface UpstreamCall {
  readonly method: string;
  /** Path with query. */
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  readonly apiKey: string;
  readonly res: http.ServerResponse;
  readonly signal: AbortSignal;
}

export interface UpstreamResult {
  readonly status: number;
  readonly usage?: MeteredUsage;
  /** In words, without bodies or keys. */
  readonly problem?: string;
}

/** What goes on to Anthropic; everything else, above all the sandbox's token, stays here. */
const REQUEST_HEADERS = /^(?:anthropic-|x-stainless-|x-claude-code-|content-type$|accept$|user-agent$|x-app$)/;
/** What comes back. The operator's organisation and cookies are nobody's business in a sandbox. */
const RESPONSE_HEADERS =
  /^(?:content-type$|cache-control$|request-id$|retry-after(?:-ms)?$|x-should-retry$|anthropic-(?!organization-id$))/;
const MAX_ERROR_BYTES = 1024 * 1024;

/** Sends requests on with the real key, and the answers back byte by byte as they come. */
export class Upstream implements Disposable {
  readonly #base: URL;
  readonly #options: UpstreamOptions;
  readonly #agent: http.Agent;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#base = new URL(options.url);
    const agentOptions = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY };
    this.#agent = this.#base.protocol === "https:" ? new https.Agent(agentOptions) : new http.Agent(agentOptions);
  }

  /** Answers `call.res` in every case. Rejects only for a bug. */
  async forward(call: UpstreamCall): Promise<UpstreamResult> {
    let answer: http.IncomingMessage;
    try {
      answer = await this.#open(call);
    } catch (error) {
      if (call.signal.aborted) return { status: 499, problem: "the client left" };
      const problem = explain(error);
      const message = `The gateway could not reach ${this.#base.host}: ${problem}. The request was not answered; try again, or check the network of the machine that runs Holdfast.`;
      sendError(call.res, { status: 502, type: "api_error", message });
      return { status: 502, problem };
    }
    const status = answer.statusCode ?? 502;
    if (status >= 200 && status < 300) return await this.#stream(answer, call);
    return await this.#refuse(answer, call);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  async #open(call: UpstreamCall): Promise<http.IncomingMessage> {
    const first = this.#request(call);
    try {
      return await first.answer;
    } catch (error) {
      // The upstream closed an idle connection just as it was taken again: nothing was processed on it.
      const stale = first.request.reusedSocket && hasCode(error, "ECONNRESET") && !call.signal.aborted;
      if (!stale) throw error;
      return await this.#request(call).answer;
    }
  }

  #request(call: UpstreamCall): { request: http.ClientRequest; answer: Promise<http.IncomingMessage> } {
    const { silenceMs, connectMs } = this.#options;
    const send = this.#base.protocol === "https:" ? https.request : http.request;
    const request = send(new URL(this.#base.pathname.replace(/\/$/, "") + call.path, this.#base), {
      method: call.method,
      headers: requestHeaders(call),
      agent: this.#agent,
      signal: call.signal,
    });
    request.setTimeout(silenceMs, () =>
      request.destroy(new Error(`it said nothing for ${Math.round(silenceMs / 1000)} seconds`)),
    );
    const connecting = setTimeout(() => request.destroy(new Error(`no connection within ${connectMs} ms`)), connectMs);
    request.once("socket", (socket) => {
      if (!socket.connecting) clearTimeout(connecting);
      else socket.once(this.#base.protocol === "https:" ? "secureConnect" : "connect", () => clearTimeout(connecting));
    });
    const answer = new Promise<http.IncomingMessage>((resolve, reject) => {
      request.once("response", resolve);
      request.on("error", reject);
    }).finally(() => clearTimeout(connecting));
    request.end(call.body.length > 0 ? call.body : undefined);
    return { request, answer };
  }

  async #stream(answer: http.IncomingMessage, call: UpstreamCall): Promise<UpstreamResult> {
    const { res, signal } = call;
    const status = answer.statusCode ?? 502;
    const guard = new SecretGuard(call.apiKey);
    const meter = createUsageMeter(answer.headers["content-type"] ?? "");
    const result = (problem?: string): UpstreamResult => {
      const usage = meter.end();
      return { status, ...(usage ? { usage } : {}), ...(problem === undefined ? {} : { problem }) };
    };
    res.writeHead(status, responseHeaders(answer, call.apiKey));
    res.flushHeaders();
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        guard.check(chunk);
        meter.push(chunk);
        // Back-pressure: a slow reader holds the upstream back, nothing piles up here.
        if (!res.write(chunk)) await once(res, "drain", { signal });
      }
      res.end();
      return result();
    } catch (error) {
      answer.destroy();
      res.destroy();
      return result(signal.aborted ? "the client left" : explain(error));
    }
  }

  /** An error answer: Anthropic's own passes on, anything else is put into its shape. */
  async #refuse(answer: http.IncomingMessage, call: UpstreamCall): Promise<UpstreamResult> {
    const status = answer.statusCode ?? 502;
    const { res, apiKey } = call;
    let text: string;
    try {
      text = await readText(answer, call.signal);
    } catch (error) {
      if (call.signal.aborted) return { status: 499, problem: "the client left" };
      text = "";
      answer.destroy(error instanceof Error ? error : undefined);
    }
    for (const [name, value] of Object.entries(responseHeaders(answer, apiKey))) res.setHeader(name, value);
    res.removeHeader("content-type");
    const problem = `the upstream answered ${status}`;
    const anthropic = readAnthropicError(new SecretGuard(apiKey).redact(text));
    if (anthropic && status !== 401) {
      res.writeHead(status, { "content-type": "application/json" });
      res.end(anthropic);
    } else sendError(res, inAnthropicShape(status, answer.headers["content-type"]));
    return { status, problem };
  }
}

function inAnthropicShape(status: number, contentType: string | undefined): AnthropicError {
  if (status === 401) {
    const message =
      "Anthropic refused the API key that this Holdfast uses (401). Set a valid key in the settings page, or as ANTHROPIC_API_KEY, and send the message again.";
    return { status, type: "authentication_error", message, final: true };
  }
  const what = `The upstream answered ${status} with ${contentType ?? "no content type"} instead of an Anthropic message`;
  if (status < 400) return { status: 502, type: "api_error", message: `${what}; redirects are not followed.` };
  return { status, type: "api_error", message: `${what}.` };
}

function requestHeaders(call: UpstreamCall): http.OutgoingHttpHeaders {
  const headers: http.OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(call.headers)) {
    if (value !== undefined && REQUEST_HEADERS.test(name)) headers[name] = value;
  }
  headers["x-api-key"] = call.apiKey;
  // Compressed answers could not be metered, and would be held back for the sake of compression.
  headers["accept-encoding"] = "identity";
  if (call.body.length > 0 || call.method === "POST") headers["content-length"] = call.body.length;
  return headers;
}

function responseHeaders(answer: http.IncomingMessage, apiKey: string): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(answer.headers)) {
    if (typeof value !== "string" || !RESPONSE_HEADERS.test(name) || value.includes(apiKey)) continue;
    headers[name] = value;
  }
  return headers;
}

async function readText(answer: http.IncomingMessage, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    size += chunk.length;
    if (size > MAX_ERROR_BYTES) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The body when it is an Anthropic error, else undefined. */
function readAnthropicError(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && "type" in value && value.type === "error" ? text : undefined;
  } catch {
    // HTML from some proxy on the way, or half a body.
    return undefined;
  }
}

function explain(error: unknown): string {
  if (hasCode(error, "ECONNREFUSED")) return "the connection was refused";
  if (hasCode(error, "ENOTFOUND") || hasCode(error, "EAI_AGAIN")) return "its name cannot be resolved";
  if (hasCode(error, "ECONNRESET")) return "the connection was reset";
  return error instanceof Error ? error.message : String(error);
}

function hasCode(error: unknown, code: string): boolean {
  if (error instanceof AggregateError) return error.errors.some((inner) => hasCode(inner, code));
  return error instanceof Error && "code" in error && error.code === code;
}
