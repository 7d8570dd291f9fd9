import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { AppError, type BodyOf, boundsOf, maxNamedErrors, type Route, smallBody } from "@holdfast/protocol";
import { FairTurns, type JsonBounds, JsonBoundsError, JsonMeter } from "@holdfast/std";
import type { z } from "zod";
import { dropRest } from "./refused-body.ts";
import { clipped, type NamedError, refuseFields, refuseUnsupported } from "./unknown-fields.ts";

export interface Body<R extends Route> {
  value: BodyOf<R>;
  /** SHA-256 of its bytes, hex. */
  hash: string;
}

/**
 * What a route's entry says of its body, checked; undefined where it takes none. Our own routes refuse what they do not
 * know, also where they take nothing. Official clients may send anything to a route that takes nothing: it is theirs.
 * `who`: the account, whose large bodies are read in turns with those of others.
 */
export async function readBody<R extends Route>(request: Request, route: R, who: string): Promise<Body<R>> {
  const { body, method, tag } = route;
  const official = tag === "Managed Agents";
  if (body === undefined && (official || method === "get")) return { value: undefined as BodyOf<R>, hash: "" };
  const { hash, value } = await readJson(request, route, who);
  if (body === undefined) refuseFields(Object.keys(value));
  else if (official) refuseUnsupported(body, value);
  return { hash, value: (body && check(body, value)) as BodyOf<R> };
}

interface JsonBody {
  hash: string;
  value: Record<string, unknown>;
}

/** The request's JSON object, within the route's bounds; an absent body counts as `{}`. */
async function readJson(request: Request, route: Route, who: string): Promise<JsonBody> {
  const turn = () => turns.take(who);
  const { text, hash } = await readText(request, boundsOf(route), turn);
  if (text === "") return { hash, value: {} };
  // Others come first between the parts of what may be four megabytes.
  const isLarge = text.length > smallBody.bytes;
  if (isLarge) await turn();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new AppError("request_malformed", { detail: "The request body is not valid JSON", cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new AppError("request_malformed", { detail: "The request body is not a JSON object" });
  }
  refuseProto(value, "");
  if (isLarge) await turn();
  return { hash, value: value as Record<string, unknown> };
}

/** So much is looked at before other requests have their turn. */
const turnBytes = 256 * 1024;
/** The parts of large bodies, of all requests. */
const turns = new FairTurns(setImmediate);

/** Counted, decoded and hashed piece by piece as it comes: no moment of it is long, and what is too much ends it. */
async function readText(
  request: Request,
  bounds: JsonBounds,
  turn: () => Promise<void>,
): Promise<{ text: string; hash: string }> {
  if (Number(request.headers.get("content-length") ?? 0) > bounds.bytes) throw tooLarge(bounds);
  const hash = createHash("sha256");
  const meter = new JsonMeter(bounds);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const reader = request.body?.getReader();
  let text = "";
  let sinceTurn = 0;
  try {
    for (let next = await reader?.read(); next?.value !== undefined; next = await reader?.read()) {
      const part: Uint8Array = next.value;
      meter.push(part);
      hash.update(part);
      text += decoder.decode(part, { stream: true });
      sinceTurn += part.length;
      if (sinceTurn < turnBytes) continue;
      sinceTurn = 0;
      await turn();
    }
    text += decoder.decode();
  } catch (error) {
    await dropRest(reader);
    if (error instanceof JsonBoundsError) throw error.bound === "bytes" ? tooLarge(bounds) : tooMuch(error);
    if (!(error instanceof TypeError)) throw error;
    throw new AppError("request_malformed", { detail: "The request body is not valid UTF-8", cause: error });
  }
  return { text, hash: hash.digest("hex") };
}

function tooLarge({ bytes }: JsonBounds): AppError {
  const detail = `The request body is too large: this route takes at most ${bytes} bytes`;
  return new AppError("body_too_large", { detail });
}

function tooMuch({ message }: JsonBoundsError): AppError {
  const errors = [{ path: "body", message }];
  return new AppError("request_invalid", { detail: `The request body ${message}`, errors });
}

/** The one name that means something to JavaScript itself: validators skip it, and what is skipped was never refused. */
function refuseProto(value: unknown, path: string): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, item] of Object.entries(value)) {
    const at = path === "" ? key : `${path}.${key}`;
    if (key === "__proto__") {
      const errors = [{ path: at, message: "is not a name that can be used" }];
      throw new AppError("request_invalid", { detail: `${clipped(at)}: is not a name that can be used`, errors });
    }
    refuseProto(item, at);
  }
}

/** Throws `request_invalid` with the first fields that were wrong. */
function check<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const all = parsed.error.issues.flatMap(issuesOf);
  const errors = all.slice(0, maxNamedErrors);
  const more = all.length > errors.length ? `; and ${all.length - errors.length} more` : "";
  throw new AppError("request_invalid", {
    detail: `${errors.map(({ path, message }) => `${path || "body"}: ${message}`).join("; ")}${more}`,
    errors,
  });
}

/** An unknown field is named by itself, not by what it stands in. */
function issuesOf(issue: z.core.$ZodIssue): NamedError[] {
  const at = issue.path.join(".");
  if (issue.code !== "unrecognized_keys") return [{ path: clipped(at), message: issue.message }];
  return issue.keys.map((key) => ({
    path: clipped(at === "" ? key : `${at}.${key}`),
    message: "is not a field of this request",
  }));
}
