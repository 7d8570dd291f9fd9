import { AppError, isAppError } from "@holdfast/protocol";
import type { Context } from "hono";
import type { Logger } from "pino";
import { isDiskFull } from "../domain/disk-full.ts";
import { isDatabaseAway } from "../ports/database.ts";
import type { HttpEnv } from "./env.ts";

/** Where this server itself explains its problems. */
const docs = "/docs/problems#";

/** Whatever was thrown, as the answer's error. What is not an `AppError` is a bug: logged, and hidden from the client. */
export function toAppError(error: unknown, log: { logger: Logger; requestId: string }): AppError {
  if (isAppError(error)) {
    if (error.entry.status >= 500) log.logger.warn({ err: error, requestId: log.requestId }, "request failed");
    return error;
  }
  if (isDiskFull(error)) return new AppError("disk_full", { cause: error });
  if (isDatabaseAway(error)) {
    log.logger.warn({ err: error, requestId: log.requestId }, "the database does not answer");
    return new AppError("database_unavailable", { cause: error });
  }
  log.logger.error({ err: error, requestId: log.requestId }, "request broke");
  return new AppError("internal", { cause: error });
}

/** Managed Agents routes answer in Anthropic's shape, the others with RFC 9457 problems. */
export function errorResponse(c: Context<HttpEnv>, error: AppError): Response {
  const requestId = c.get("requestId");
  const { status, title, remedy, anthropicType, retryable } = error.entry;
  const headers: Record<string, string> = { "cache-control": "no-store", "x-should-retry": String(retryable) };
  if (error.code === "database_unavailable") headers["retry-after"] = "2";
  if (isManagedAgentsPath(c.req.path)) {
    // What the message says already is not said again.
    const named = error.errors
      .filter(({ message }) => !error.message.includes(message))
      .map(({ path, message }) => `${path}: ${message}`)
      .join("; ");
    const parts = [error.message, named, remedy].filter((part) => part !== "");
    const body = {
      type: "error",
      error: { type: anthropicType, message: parts.join(". ").replaceAll("..", ".") },
      request_id: requestId,
      holdfast: { code: error.code, remedy, errors: error.errors },
    };
    return Response.json(body, { status, headers });
  }
  const body = {
    type: `${docs}${error.code}`,
    title,
    status,
    detail: error.message,
    instance: `urn:holdfast:request:${requestId}`,
    code: error.code,
    remedy,
    ...(error.errors.length > 0 ? { errors: error.errors } : {}),
  };
  return Response.json(body, { status, headers: { ...headers, "content-type": "application/problem+json" } });
}

/** Also what an official client may ask for and is not there. */
const managedAgentsPath =
  /^\/v1\/(sessions|agents|environments|files|vaults|skills|memory_stores|deployments|messages|models)(\/|$)/;

export function isManagedAgentsPath(path: string): boolean {
  return managedAgentsPath.test(path);
}
