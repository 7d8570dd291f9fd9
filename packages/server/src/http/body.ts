import { AppError, maxBodyBytes } from "@holdfast/protocol";
import type { Context } from "hono";
import type { z } from "zod";
import type { HttpEnv } from "./env.ts";

export interface JsonBody {
  bytes: Uint8Array;
  value: Record<string, unknown>;
}

/** The request's JSON object; an absent body counts as `{}`. */
export async function readJson(c: Context<HttpEnv>): Promise<JsonBody> {
  const bytes = await readBytes(c.req.raw);
  if (bytes.length === 0) return { bytes, value: {} };
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const detail =
      error instanceof TypeError ? "The request body is not valid UTF-8" : `The request body is not valid JSON`;
    throw new AppError("request_malformed", { detail, cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new AppError("request_malformed", { detail: "The request body is not a JSON object" });
  }
  return { bytes, value: value as Record<string, unknown> };
}

async function readBytes(request: Request): Promise<Uint8Array> {
  if (Number(request.headers.get("content-length") ?? 0) > maxBodyBytes) throw new AppError("body_too_large");
  if (request.body === null) return new Uint8Array(0);
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of request.body) {
    length += part.length;
    if (length > maxBodyBytes) throw new AppError("body_too_large");
    parts.push(part);
  }
  return Buffer.concat(parts, length);
}

/** Throws `request_invalid` with every field that was wrong. */
export function check<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map((issue) => ({ path: issue.path.join("."), message: issue.message }));
  throw new AppError("request_invalid", {
    detail: errors.map(({ path, message }) => `${path || "body"}: ${message}`).join("; "),
    errors,
  });
}

/** Fields of the official API that mean something which we do not do are refused, not ignored; empty ones are harmless. */
export function refuseUnknown(value: Record<string, unknown>, known: readonly string[], at = ""): void {
  const asked = Object.entries(value)
    .filter(([name, content]) => !known.includes(name) && !isEmpty(content))
    .map(([name]) => `${at}${name}`);
  if (asked.length === 0) return;
  throw new AppError("not_supported", {
    detail: `Not supported: ${asked.join(", ")}`,
    errors: asked.map((path) => ({ path, message: "is not supported" })),
  });
}

function isEmpty(content: unknown): boolean {
  return content === null || content === undefined || (Array.isArray(content) && content.length === 0);
}
