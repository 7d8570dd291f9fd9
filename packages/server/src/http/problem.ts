import { AppError, isAppError, maxNamedErrors } from "@holdfast/protocol";
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

const maxPathLength = 250;
const maxMessageLength = 500;
const maxDetailLength = 2_000;

/** An answer does not grow with what was wrong in the request, whoever made the error. */
function bounded({ message, errors }: AppError): { message: string; errors: { path: string; message: string }[] } {
  return {
    message: clip(message, maxDetailLength),
    errors: errors.slice(0, maxNamedErrors).map((each) => ({
      path: clip(each.path, maxPathLength),
      message: clip(each.message, maxMessageLength),
    })),
  };
}

/** Never in the middle of a character. */
function clip(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length).replace(/[\ud800-\udbff]$/, "")}…`;
}

/** Managed Agents routes answer in Anthropic's shape, the others with RFC 9457 problems. */
export function errorResponse(c: Context<HttpEnv>, error: AppError): Response {
  const requestId = c.get("requestId");
  const { message, errors } = bounded(error);
  const { status, title, remedy, anthropicType, retryable } = error.entry;
  const headers: Record<string, string> = { "cache-control": "no-store", "x-should-retry": String(retryable) };
  if (error.code === "database_unavailable") headers["retry-after"] = "2";
  if (isManagedAgentsPath(c.req.path)) {
    // What the message says already is not said again.
    const named = errors
      .filter((each) => !message.includes(each.message))
      .map((each) => `${each.path}: ${each.message}`)
      .join("; ");
    const parts = [message, named, remedy].filter((part) => part !== "");
    const body = {
      type: "error",
      error: { type: anthropicType, message: parts.join(". ").replaceAll("..", ".") },
      request_id: requestId,
      holdfast: { code: error.code, remedy, errors },
    };
    return Response.json(body, { status, headers });
  }
  const body = {
    type: `${docs}${error.code}`,
    title,
    status,
    detail: message,
    instance: `urn:holdfast:request:${requestId}`,
    code: error.code,
    remedy,
    ...(errors.length > 0 ? { errors } : {}),
  };
  return Response.json(body, { status, headers: { ...headers, "content-type": "application/problem+json" } });
}

/** Also what an official client may ask for and is not there. */
const managedAgentsPath =
  /^\/v1\/(sessions|agents|environments|files|vaults|skills|memory_stores|deployments|messages|models)(\/|$)/;

export function isManagedAgentsPath(path: string): boolean {
  return managedAgentsPath.test(path);
}
