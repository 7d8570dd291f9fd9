import { constants } from "node:os";
import type { GuestRequest } from "../frames.ts";
import { isSafeName } from "../run-paths.ts";
import { RequestError } from "./request-error.ts";

type Fields = Record<string, unknown>;

const checks: Record<GuestRequest["type"], (fields: Fields) => boolean> = {
  start: (f) =>
    isSafeName(f.sessionId) &&
    isSafeName(f.processId) &&
    isCount(f.generation) &&
    typeof f.cwd === "string" &&
    isStrings(f.argv) &&
    isFields(f.env) &&
    isStrings(Object.values(f.env)),
  subscribe: (f) => isSafeName(f.processId) && isCount(f.stdoutOffset) && isCount(f.stderrOffset),
  unsubscribe: (f) => isSafeName(f.processId),
  stdin: (f) => isSafeName(f.processId) && isCount(f.generation) && isSafeName(f.lineId),
  close_stdin: (f) => isSafeName(f.processId) && isCount(f.generation),
  signal: (f) => isSafeName(f.processId) && isCount(f.generation) && isSignal(f.signal) && typeof f.group === "boolean",
  end_orphans: (f) => isSafeName(f.processId) && isCount(f.generation) && isFields(f.since) && isSince(f.since),
  fence: (f) => isSafeName(f.sessionId) && isCount(f.generation),
  committed: (f) =>
    isSafeName(f.processId) && isCount(f.generation) && isCount(f.stdoutOffset) && isCount(f.stderrOffset),
  remove: (f) => isSafeName(f.processId) && isCount(f.generation),
  open_terminal: (f) =>
    isSafeName(f.terminalId) &&
    typeof f.cwd === "string" &&
    isStrings(f.argv) &&
    isFields(f.env) &&
    isStrings(Object.values(f.env)) &&
    isSize(f),
  list_terminals: () => true,
  watch_terminal: (f) => isSafeName(f.terminalId) && isCount(f.offset),
  unwatch_terminal: (f) => isSafeName(f.terminalId),
  type_in_terminal: (f) => isSafeName(f.terminalId) && isWriter(f.writer) && isCount(f.offset),
  resize_terminal: (f) => isSafeName(f.terminalId) && isSize(f),
  end_terminal: (f) => isSafeName(f.terminalId),
  seal: () => true,
  ping: () => true,
};

/** The request when it is whole; a RequestError otherwise. */
export function checkRequest(header: unknown): GuestRequest {
  const type = isFields(header) ? header.type : undefined;
  if (!isFields(header) || typeof type !== "string" || !isRequestType(type)) {
    throw new RequestError(
      "bad_request",
      `unknown request ${typeof type === "string" ? JSON.stringify(type.slice(0, 100)) : typeof type}`,
    );
  }
  if (!isCount(header.requestId) || !checks[type](header)) {
    throw new RequestError("bad_request", `a field of the ${type} request is missing or wrong`);
  }
  return header as GuestRequest;
}

export function requestIdOf(header: unknown): number {
  const id = isFields(header) ? header.requestId : undefined;
  return isCount(id) ? id : 0;
}

function isRequestType(type: string): type is GuestRequest["type"] {
  return Object.hasOwn(checks, type);
}

/** Of a terminal, in characters. */
function isSize({ rows, cols }: Fields): boolean {
  return [rows, cols].every((each) => isCount(each) && each > 0 && each <= 1_000);
}

/** A few dozen are kept in one page. */
function isWriter(value: unknown): boolean {
  return isSafeName(value) && value.length <= 40;
}

function isSince(since: Fields): boolean {
  return isSafeName(since.lineId) !== isCount(since.ms);
}

export function isSignal(value: unknown): value is NodeJS.Signals {
  return typeof value === "string" && Object.hasOwn(constants.signals, value);
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string" && !item.includes("\u0000"));
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
