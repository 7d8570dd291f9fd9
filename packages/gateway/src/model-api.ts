import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { ScriptedModelCore } from "@holdfast/scripted-model";
import { type SandboxTokenPayload, verifySandboxToken } from "@holdfast/std";
import type { Logger } from "pino";
import { type AnthropicError, sendError } from "./anthropic-error.ts";
import type { CredentialStore } from "./credential-store.ts";
import type { Ledger } from "./ledger.ts";
import type { LiveCalls } from "./live-calls.ts";
import { type BodyReader, BodyTooLargeError, BufferFullError } from "./request-body.ts";
import { isTooOld, type Revocations } from "./revocations.ts";
import { withoutScriptedThinking } from "./scripted-history.ts";
import { foreignToken, speakerOf } from "./speaker.ts";
import type { Upstream } from "./upstream.ts";
import type { MeteredUsage } from "./usage-meter.ts";

export interface ModelApiContext {
  readonly tokenSecret: string;
  /** Whether connections say which sandbox speaks. */
  readonly announced: boolean;
  readonly bodies: BodyReader;
  readonly credentials: CredentialStore;
  readonly revocations: Revocations;
  readonly ledger: Ledger;
  readonly live: LiveCalls;
  readonly upstream: Upstream;
  readonly scripted: ScriptedModelCore;
  readonly log: Logger;
}

interface Answered {
  readonly status: number;
  readonly mode: "anthropic" | "scripted";
  readonly usage?: MeteredUsage;
  readonly problem?: string;
}

const ROUTES: ReadonlySet<string> = new Set(["POST /v1/messages", "POST /v1/messages/count_tokens", "GET /v1/models"]);

/** What a sandbox may ask: messages, counts and the list of models, with its token. */
export async function handleModelApi(ctx: ModelApiContext, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const path = (req.url ?? "/").split("?", 1)[0] ?? "/";
  if (req.method === "HEAD" && path === "/") {
    res.writeHead(200).end();
    return;
  }
  if (!ROUTES.has(`${req.method} ${path}`)) {
    sendError(res, {
      status: 404,
      type: "not_found_error",
      message: `The gateway has no ${req.method} ${path.slice(0, 200)}.`,
    });
    return;
  }
  const token = await authenticate(ctx, req.headers);
  if ("status" in token) {
    sendError(res, token);
    return;
  }
  const foreign = ctx.announced ? foreignToken(speakerOf(req.socket), token) : undefined;
  if (foreign !== undefined) {
    const { sandbox, owner } = speakerOf(req.socket) ?? {};
    ctx.log.warn({ sandbox, owner, account: token.acc, tokenSandbox: token.sbx }, "a token of another was refused");
    sendError(res, foreign);
    return;
  }
  using call = ctx.live.add(token);
  const onClose = () => {
    if (!res.writableFinished) call.controller.abort(new Error("the client left"));
  };
  // A token that was revoked while it was being checked is caught here: from now on `cut` finds the call.
  if (ctx.revocations.isRevoked(token)) {
    sendError(res, unauthorized("The sandbox token was revoked."));
    return;
  }
  call.controller.signal.addEventListener("abort", () => res.destroy(), { once: true });
  res.once("close", onClose);
  try {
    await ctx.bodies.withBody(req, (body) => answer(ctx, { req, res, body, token, signal: call.controller.signal }));
  } catch (error) {
    if (!call.controller.signal.aborted) refuseBody(res, error);
  } finally {
    res.off("close", onClose);
  }
}

interface Call {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly body: Buffer;
  readonly token: SandboxTokenPayload;
  readonly signal: AbortSignal;
}

async function answer(ctx: ModelApiContext, call: Call): Promise<void> {
  const startedAt = performance.now();
  const answered = await dispatch(ctx, call);
  const durationMs = Math.round(performance.now() - startedAt);
  const header = call.req.headers["x-claude-code-session-id"];
  const claudeSession = typeof header === "string" ? header.slice(0, 200) : undefined;
  const { token } = call;
  if (answered.usage) {
    ctx.ledger.append({ token, claudeSession, mode: answered.mode, usage: answered.usage, durationMs });
  }
  // Never the body, a header or a key: only who, what and how long.
  ctx.log.info(
    {
      path: call.req.url?.split("?", 1)[0],
      status: answered.status,
      mode: answered.mode,
      account: token.acc,
      sandbox: token.sbx,
      session: token.ses,
      claudeSession,
      model: answered.usage?.model,
      inputTokens: answered.usage?.inputTokens,
      outputTokens: answered.usage?.outputTokens,
      problem: answered.problem,
      durationMs,
    },
    "answered",
  );
}

async function dispatch(ctx: ModelApiContext, call: Call): Promise<Answered> {
  const { req, res, body, signal } = call;
  const method = req.method ?? "GET";
  const path = req.url ?? "/";
  // Asked anew each time: a key that was just set or removed counts from this request on.
  const credential = ctx.credentials.current;
  if (credential) {
    const apiKey = credential.apiKey;
    const sent = withoutScriptedThinking(body);
    const result = await ctx.upstream.forward({ method, path, headers: req.headers, body: sent, apiKey, res, signal });
    return { ...result, mode: "anthropic" };
  }
  const result = await ctx.scripted.handle({ method, url: path, headers: req.headers, body, res });
  const usage: MeteredUsage | undefined = result.usage && {
    ...(result.model === undefined ? {} : { model: result.model }),
    inputTokens: result.usage.input_tokens,
    outputTokens: result.usage.output_tokens,
    cacheWriteTokens: result.usage.cache_creation_input_tokens,
    cacheReadTokens: result.usage.cache_read_input_tokens,
    complete: result.outcome === "complete",
  };
  return { status: result.status, mode: "scripted", ...(usage ? { usage } : {}) };
}

async function authenticate(
  ctx: ModelApiContext,
  headers: IncomingHttpHeaders,
): Promise<SandboxTokenPayload | AnthropicError> {
  const bearer = /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? "")?.[1];
  const apiKey = headers["x-api-key"];
  const presented = typeof apiKey === "string" && apiKey !== "" ? apiKey : bearer;
  if (!presented) return unauthorized("No sandbox token: send it as x-api-key or as Authorization: Bearer.");
  const verdict = await verifySandboxToken(ctx.tokenSecret, presented);
  if (!verdict.ok) {
    if (verdict.reason === "expired") return unauthorized("The sandbox token has expired.");
    return unauthorized("This is not a sandbox token of this gateway.");
  }
  if (isTooOld(verdict.payload, Date.now())) return unauthorized("The sandbox token is older than seven days.");
  if (ctx.revocations.isRevoked(verdict.payload)) return unauthorized("The sandbox token was revoked.");
  return verdict.payload;
}

function unauthorized(message: string): AnthropicError {
  return { status: 401, type: "authentication_error", message, final: true };
}

function refuseBody(res: ServerResponse, error: unknown): void {
  if (error instanceof BodyTooLargeError) {
    sendError(res, { status: 413, type: "request_too_large", message: `Refused: ${error.message}.` });
  } else if (error instanceof BufferFullError) {
    const message = "The gateway holds too many requests at once. Try again in a moment.";
    sendError(res, { status: 529, type: "overloaded_error", message });
  } else throw error;
}
