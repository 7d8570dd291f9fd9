import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { parseScripts, type ScriptedModelCore } from "@holdfast/scripted-model";
import { type JsonBounds, JsonBoundsError, JsonMeter } from "@holdfast/std";
import type { Logger } from "pino";
import { z } from "zod";
import { sendError, sendJson } from "./anthropic-error.ts";
import { ApiKey } from "./config/options.ts";
import type { CredentialStore } from "./credential-store.ts";
import type { Ledger } from "./ledger.ts";
import type { LiveCalls } from "./live-calls.ts";
import type { BodyReader } from "./request-body.ts";
import { REVOCATION_KINDS, type Revocations } from "./revocations.ts";

export interface AdminApiContext {
  readonly adminToken: string;
  readonly allowScripts: boolean;
  readonly bodies: BodyReader;
  readonly credentials: CredentialStore;
  readonly revocations: Revocations;
  readonly ledger: Ledger;
  readonly live: LiveCalls;
  readonly scripted: ScriptedModelCore;
  readonly log: Logger;
}

/** What the admin API says about itself; never the key. */
export interface GatewayStatus {
  readonly mode: "anthropic" | "scripted";
  readonly credential: { present: boolean; source: "stored" | "environment" | null; last4: string | null };
}

/** Names and a key. */
const smallBounds: JsonBounds = { bytes: 64 * 1024, depth: 8, keys: 200, values: 500 };
/** Of tests alone. */
const scriptBounds: JsonBounds = { bytes: 2 * 1024 * 1024, depth: 64, keys: 50_000, values: 100_000 };

type Handler = (ctx: AdminApiContext, call: { body: Buffer; query: URLSearchParams }) => object | Promise<object>;

const Revocation = z
  .strictObject(Object.fromEntries(REVOCATION_KINDS.map((kind) => [kind, z.string().min(1).max(200).optional()])))
  .refine((value) => Object.values(value).some((id) => id !== undefined), "Name one of jti, sbx, acc, wsp, ses.");

const ROUTES: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ["GET /admin/status", (ctx) => statusOf(ctx)],
  [
    "PUT /admin/credential",
    async (ctx, { body }) => {
      const { apiKey } = z.strictObject({ apiKey: ApiKey }).parse(parseJson(body));
      await ctx.credentials.set(apiKey);
      ctx.log.info({ last4: statusOf(ctx).credential.last4 }, "credential set");
      return statusOf(ctx);
    },
  ],
  [
    "DELETE /admin/credential",
    async (ctx) => {
      await ctx.credentials.remove();
      ctx.log.info("credential removed");
      return statusOf(ctx);
    },
  ],
  [
    "POST /admin/revoke",
    (ctx, { body }) => {
      const wanted: Readonly<Record<string, string | undefined>> = Revocation.parse(parseJson(body));
      for (const kind of REVOCATION_KINDS) {
        const id = wanted[kind];
        if (id !== undefined) ctx.revocations.add(kind, id);
      }
      const cut = ctx.live.cut((token) => ctx.revocations.isRevoked(token), "the sandbox token was revoked");
      ctx.log.info({ revoked: wanted, cut }, "tokens revoked");
      return { revoked: wanted, cutStreams: cut };
    },
  ],
  [
    "GET /admin/live",
    (ctx, { query }) => {
      const session = query.get("session");
      if (session === null || query.size !== 1) throw new InputError("Name one session: ?session=ID.");
      return { calls: ctx.live.ofSession(session) };
    },
  ],
  [
    "GET /admin/usage",
    (ctx, { query }) => {
      const unknown = [...query.keys()].find((name) => name !== "session" && name !== "account");
      // Left out, it would be everybody's usage that is answered.
      if (unknown !== undefined)
        throw new InputError(`There is no parameter "${unknown.slice(0, 100)}"; known are session and account.`);
      return ctx.ledger.report({
        session: query.get("session") ?? undefined,
        account: query.get("account") ?? undefined,
      });
    },
  ],
]);

/** Only for tests: what the scripted model is to say, and what it said. */
const SCRIPT_ROUTES: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  [
    "POST /admin/scripts",
    (ctx, { body }) => {
      const scripts = parseScripts(parseJson(body, scriptBounds));
      for (const { when, turns, times } of scripts) {
        ctx.scripted.script(when, turns, times === undefined ? {} : { times });
      }
      return { scripts: scripts.length };
    },
  ],
  [
    "DELETE /admin/scripts",
    (ctx) => {
      ctx.scripted.clearScripts();
      return { scripts: 0 };
    },
  ],
  ["GET /admin/record", (ctx) => ({ record: ctx.scripted.record() })],
]);

/** For the server of this machine, with the admin token. */
export async function handleAdminApi(ctx: AdminApiContext, req: IncomingMessage, res: ServerResponse): Promise<void> {
  if (!isAdmin(ctx.adminToken, req)) {
    const message = "The admin API needs its token, as Authorization: Bearer, from this machine.";
    sendError(res, { status: 401, type: "authentication_error", message, final: true });
    return;
  }
  const [path = "/", search = ""] = (req.url ?? "/").split("?", 2);
  const route = `${req.method} ${path}`;
  const handler = ROUTES.get(route) ?? (ctx.allowScripts ? SCRIPT_ROUTES.get(route) : undefined);
  if (!handler) {
    sendError(res, { status: 404, type: "not_found_error", message: `The admin API has no ${route.slice(0, 200)}.` });
    return;
  }
  try {
    const answer = await ctx.bodies.withBody(req, async (body) =>
      handler(ctx, { body, query: new URLSearchParams(search) }),
    );
    sendJson(res, 200, answer);
  } catch (error) {
    sendError(res, { status: isInputError(error) ? 400 : 500, type: errorType(error), message: errorText(error) });
    if (!isInputError(error)) ctx.log.error({ route, error: errorText(error) }, "admin request failed");
  }
}

function statusOf(ctx: AdminApiContext): GatewayStatus {
  const credential = ctx.credentials.current;
  return {
    mode: credential ? "anthropic" : "scripted",
    credential: {
      present: credential !== undefined,
      source: credential?.source ?? null,
      last4: credential?.apiKey.slice(-4) ?? null,
    },
  };
}

/** In constant time, whatever the lengths. */
function isAdmin(adminToken: string, req: IncomingMessage): boolean {
  const given = /^Bearer\s+(\S+)$/i.exec(req.headers.authorization ?? "")?.[1] ?? "";
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const sameToken = timingSafeEqual(digest(given), digest(adminToken));
  return sameToken && isLoopback(req.socket.remoteAddress ?? "");
}

function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.") || address.startsWith("::ffff:127.");
}

class InputError extends Error {
  override name = "InputError";
}

function parseJson(body: Buffer, bounds = smallBounds): unknown {
  try {
    new JsonMeter(bounds).push(body);
  } catch (error) {
    if (!(error instanceof JsonBoundsError)) throw error;
    throw new InputError(`The body ${error.message}.`, { cause: error });
  }
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    // The parser's message quotes the text, which may be a key.
    throw new InputError("The body is not valid JSON.");
  }
}

const maxErrorLength = 2_000;
const INPUT_ERRORS: ReadonlySet<string> = new Set(["InputError", "BodyTooLargeError", "ScriptFormatError"]);

function isInputError(error: unknown): boolean {
  return error instanceof z.ZodError || (error instanceof Error && INPUT_ERRORS.has(error.name));
}

function errorType(error: unknown) {
  return isInputError(error) ? "invalid_request_error" : "api_error";
}

function errorText(error: unknown): string {
  const text =
    error instanceof z.ZodError ? z.prettifyError(error) : error instanceof Error ? error.message : String(error);
  // It repeats names that the caller chose.
  return text.length <= maxErrorLength ? text : `${text.slice(0, maxErrorLength)}…`;
}
