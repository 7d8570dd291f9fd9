import { guestStaleExit } from "./frames.ts";

/** A step that failed, as the caller of the program reads it: one JSON line on stderr. */
export class Failure extends Error {
  readonly code: string;
  readonly remedy: string;
  readonly exitCode: number;
  /** More that the caller's program can use. */
  readonly facts: Record<string, unknown>;
  constructor(fields: {
    code: string;
    message: string;
    remedy: string;
    exitCode: number;
    facts?: Record<string, unknown>;
    cause?: unknown;
  }) {
    super(fields.message, { cause: fields.cause });
    this.code = fields.code;
    this.remedy = fields.remedy;
    this.exitCode = fields.exitCode;
    this.facts = fields.facts ?? {};
  }
}

export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 64,
  refused: 65,
  notFound: 66,
  software: 70,
  stale: guestStaleExit,
} as const;

export function usageFailure(message: string): Failure {
  const remedy = "Run `node guest.mjs --help`.";
  return new Failure({ code: "usage", message, remedy, exitCode: exitCodes.usage });
}

/** `ENOENT` and the like; undefined when `error` is no system error. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
