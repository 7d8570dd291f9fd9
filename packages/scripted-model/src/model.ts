import { randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { setImmediate } from "node:timers/promises";
import { JsonBoundsError, JsonMeter } from "@holdfast/std";
import { conversationBounds } from "./bounds.ts";
import { nextDemoTurn } from "./demo.ts";
import { parseScripts } from "./parse-script.ts";
import { BadRequestError, type ModelRequest, readModelRequest, type TurnStart } from "./request.ts";
import { ScriptStore } from "./script-store.ts";
import { sideTurn } from "./side.ts";
import { messageId, type Pace, type Spoken, speakStream, speakWhole } from "./speak.ts";
import { TurnMemory } from "./turn-memory.ts";
import type { ModelUsage, RecordEntry, Script, ScriptError, ScriptMatch, ScriptTurn } from "./types.ts";

export interface ScriptedModelOptions {
  /** Wait before each delta; default 12. */
  readonly deltaDelayMs?: number;
  /** Characters per text delta; default 12. */
  readonly deltaChars?: number;
  /** Opens `/__scripts` and `/__record` to whoever sends it in `x-holdfast-control`; without it they do not exist. */
  readonly controlSecret?: string;
  /** How many requests `record()` remembers; default 1000. */
  readonly recordLimit?: number;
}

/** One request whose body was already read. */
export interface ModelCall {
  readonly method: string;
  /** Path with query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
  readonly res: ServerResponse;
}

export interface ModelCallResult {
  readonly status: number;
  readonly model?: string;
  readonly usage?: ModelUsage;
  readonly outcome: RecordEntry["outcome"];
}

/** The model without a listener: answers calls, takes scripts, remembers what it said. */
export interface ScriptedModelCore {
  handle(call: ModelCall): Promise<ModelCallResult>;
  script(match: ScriptMatch | undefined, turns: readonly ScriptTurn[], options?: { times?: number }): void;
  clearScripts(): void;
  record(): readonly RecordEntry[];
}

const DEFAULT_RECORD_LIMIT = 1000;
const RECORDED_PROMPT_CHARACTERS = 200;

export function createScriptedModel(options: ScriptedModelOptions = {}): ScriptedModelCore {
  return new Core(options);
}

class Core implements ScriptedModelCore {
  readonly #options: ScriptedModelOptions;
  readonly #pace: Pace;
  readonly #store = new ScriptStore();
  readonly #record: RecordEntry[] = [];
  readonly #turns = new TurnMemory();
  #seq = 0;

  constructor(options: ScriptedModelOptions) {
    this.#options = options;
    this.#pace = { delayMs: options.deltaDelayMs ?? 12, deltaChars: Math.max(1, options.deltaChars ?? 12) };
  }

  script(match: ScriptMatch | undefined, turns: readonly ScriptTurn[], options: { times?: number } = {}): void {
    this.#store.add({ turns, ...(match ? { when: match } : {}), ...options } satisfies Script);
  }

  clearScripts(): void {
    this.#store.clear();
  }

  record(): readonly RecordEntry[] {
    return [...this.#record];
  }

  async handle(call: ModelCall): Promise<ModelCallResult> {
    const path = call.url.split("?", 1)[0] ?? "/";
    call.res.setHeader("request-id", `req_${randomBytes(10).toString("hex")}`);
    call.res.setHeader("x-holdfast-model", "scripted-demo-not-claude");
    if (path === "/v1/messages" && call.method === "POST") return await this.#messages(call);
    if (path === "/v1/messages/count_tokens" && call.method === "POST") return await this.#countTokens(call);
    if (path === "/v1/models" && call.method === "GET") return sendJson(call.res, 200, MODELS);
    if (path === "/" && (call.method === "HEAD" || call.method === "GET")) return sendAbout(call.res);
    if (path.startsWith("/__") && this.#mayControl(call.headers)) return this.#control(call, path);
    return sendError(call.res, {
      status: 404,
      type: "not_found_error",
      message: `There is no ${call.method} ${path.slice(0, 200)}.`,
    });
  }

  async #messages(call: ModelCall): Promise<ModelCallResult> {
    const request = await readCall(call, (conversation) => this.#turns.start(conversation));
    if (request instanceof BadRequestError) return badRequest(call.res, request);
    const id = messageId();
    const side = sideTurn(request);
    const scripted = side ? undefined : this.#store.next(request);
    const turn = side ?? scripted ?? nextDemoTurn(request);
    const base = {
      at: new Date().toISOString(),
      ...(request.sessionId === undefined ? {} : { sessionId: request.sessionId }),
      messageId: id,
      model: request.model,
      stream: request.stream,
      lastUserText: request.lastUserText,
      earlierPrompts: request.earlierPrompts.map((prompt) => prompt.slice(0, RECORDED_PROMPT_CHARACTERS)),
      source: side ? "side" : scripted ? "script" : "demo",
    } as const;
    if (turn.error) {
      this.#remember({ ...base, blocks: [], outcome: "error", error: turn.error });
      return { ...sendError(call.res, turn.error), model: request.model };
    }
    const spoken = await this.#speak(turn, { request, messageId: id, res: call.res });
    const { blocks, outcome, stopReason, usage } = spoken;
    this.#remember({ ...base, blocks, outcome, ...(stopReason === undefined ? {} : { stopReason }) });
    return { status: 200, model: request.model, usage, outcome };
  }

  async #speak(
    turn: ScriptTurn,
    speech: { request: ModelRequest; messageId: string; res: ServerResponse },
  ): Promise<Spoken> {
    const gone = new AbortController();
    const onClose = () => gone.abort(new Error("the client left"));
    speech.res.once("close", onClose);
    try {
      const full = { ...speech, pace: this.#pace, signal: gone.signal };
      return speech.request.stream ? await speakStream(turn, full) : speakWhole(turn, full);
    } finally {
      speech.res.off("close", onClose);
    }
  }

  async #countTokens(call: ModelCall): Promise<ModelCallResult> {
    const request = await readCall(call);
    if (request instanceof BadRequestError) return badRequest(call.res, request);
    return sendJson(call.res, 200, { input_tokens: Math.ceil(request.sizeBytes / 4) });
  }

  #mayControl(headers: IncomingHttpHeaders): boolean {
    const given = headers["x-holdfast-control"];
    const wanted = this.#options.controlSecret;
    if (wanted === undefined || typeof given !== "string") return false;
    const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
    return a.length === b.length && timingSafeEqual(a, b);
  }

  #control(call: ModelCall, path: string): ModelCallResult {
    if (path === "/__record" && call.method === "GET") return sendJson(call.res, 200, { record: this.#record });
    if (path === "/__scripts" && call.method === "DELETE") {
      this.#store.clear();
      return sendJson(call.res, 200, { scripts: 0 });
    }
    if (path === "/__scripts" && call.method === "POST") {
      try {
        const scripts = parseScripts(JSON.parse(Buffer.from(call.body).toString("utf8")));
        for (const script of scripts) this.#store.add(script);
        return sendJson(call.res, 200, { scripts: scripts.length });
      } catch (error) {
        return badRequest(call.res, error);
      }
    }
    return sendError(call.res, {
      status: 404,
      type: "not_found_error",
      message: `There is no ${call.method} ${path.slice(0, 200)}.`,
    });
  }

  #remember(entry: Omit<RecordEntry, "seq">): void {
    this.#seq++;
    this.#record.push({ seq: this.#seq, ...entry });
    if (this.#record.length > (this.#options.recordLimit ?? DEFAULT_RECORD_LIMIT)) this.#record.shift();
  }
}

const turnBytes = 512 * 1024;

async function readCall(call: ModelCall, turnStart?: TurnStart): Promise<ModelRequest | BadRequestError> {
  const session = call.headers["x-claude-code-session-id"];
  const context = {
    sessionId: typeof session === "string" ? session : undefined,
    sizeBytes: call.body.byteLength,
    ...(turnStart ? { turnStart } : {}),
  };
  try {
    // All sandboxes share this thread: others have their turn between the steps.
    const meter = new JsonMeter(conversationBounds);
    for (let at = 0; at < call.body.length; at += turnBytes) {
      meter.push(call.body.subarray(at, at + turnBytes));
      await setImmediate();
    }
    const text = Buffer.from(call.body.buffer, call.body.byteOffset, call.body.length).toString("utf8");
    await setImmediate();
    const body: unknown = JSON.parse(text);
    await setImmediate();
    return readModelRequest(body, context);
  } catch (error) {
    if (error instanceof BadRequestError) return error;
    if (error instanceof JsonBoundsError)
      return new BadRequestError(`The request body ${error.message}.`, { cause: error });
    return new BadRequestError("The request body is not valid JSON.", { cause: error });
  }
}

function badRequest(res: ServerResponse, error: unknown): ModelCallResult {
  const message = error instanceof Error ? error.message : String(error);
  return sendError(res, { status: 400, type: "invalid_request_error", message });
}

function sendError(res: ServerResponse, error: ScriptError): ModelCallResult {
  if (error.retryAfter !== undefined) res.setHeader("retry-after", String(error.retryAfter));
  const requestId = res.getHeader("request-id");
  const body = { type: "error", error: { type: error.type, message: error.message }, request_id: requestId };
  return { ...sendJson(res, error.status, body), outcome: "error" };
}

function sendJson(res: ServerResponse, status: number, body: object): ModelCallResult {
  res.writeHead(status, { "content-type": "application/json" });
  res.end(JSON.stringify(body));
  return { status, outcome: "complete" };
}

function sendAbout(res: ServerResponse): ModelCallResult {
  res.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
  res.end("This is Holdfast's scripted demo model. It is a script, not Claude.\n");
  return { status: 200, outcome: "complete" };
}

const MODELS = {
  data: [
    {
      type: "model",
      id: "holdfast-scripted-demo",
      display_name: "Scripted demo (not Claude)",
      created_at: "2026-01-01T00:00:00Z",
    },
  ],
  has_more: false,
  first_id: "holdfast-scripted-demo",
  last_id: "holdfast-scripted-demo",
};
