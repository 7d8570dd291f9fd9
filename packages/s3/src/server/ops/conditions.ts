import { Fault } from "../faults.ts";
import type { ObjectInfo } from "../store/footer.ts";
import { unquote } from "./metadata.ts";

/** Conditions of a read, or of a copy on its source. */
export interface ReadConditions {
  readonly match: string | undefined;
  readonly noneMatch: string | undefined;
  readonly modifiedSince: string | undefined;
  readonly unmodifiedSince: string | undefined;
}

function anyEtag(list: string, etag: string): boolean {
  return list.split(",").some((one) => one.trim() === "*" || unquote(one) === etag);
}

/** HTTP dates have whole seconds. */
function seconds(timeMs: number): number {
  return Math.floor(timeMs / 1000);
}

function later(info: ObjectInfo, date: string): boolean | undefined {
  const timeMs = Date.parse(date);
  return Number.isNaN(timeMs) ? undefined : seconds(info.modifiedMs) > seconds(timeMs);
}

/**
 * RFC 9110, section 13.2.2. `notModified` is what a failed If-None-Match gives: 304 for reads, 412 for copies.
 * @throws Fault PreconditionFailed or `notModified`
 */
export function checkReadConditions(
  info: ObjectInfo,
  conditions: ReadConditions,
  notModified: "NotModified" | "PreconditionFailed",
): void {
  const { match, noneMatch, modifiedSince, unmodifiedSince } = conditions;
  if (match !== undefined) {
    if (!anyEtag(match, info.etag)) throw new Fault("PreconditionFailed", { details: { Condition: "If-Match" } });
  } else if (unmodifiedSince !== undefined && later(info, unmodifiedSince) === true) {
    throw new Fault("PreconditionFailed", { details: { Condition: "If-Unmodified-Since" } });
  }
  if (noneMatch !== undefined) {
    if (anyEtag(noneMatch, info.etag)) throw new Fault(notModified, { details: { ETag: info.etag } });
  } else if (modifiedSince !== undefined && later(info, modifiedSince) === false) {
    throw new Fault(notModified, { details: { ETag: info.etag } });
  }
}

export interface ByteRange {
  readonly start: number;
  /** Inclusive. */
  readonly end: number;
}

/**
 * The range of a part that is copied: both ends, and all of it in the source. A part cut short would be found by nobody.
 * @throws Fault InvalidArgument, InvalidRange
 */
export function parseSourceRange(header: string, sizeBytes: number): ByteRange {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(header.trim()) ?? [];
  const range = { start: Number(first), end: Number(last) };
  if (first === undefined || last === undefined || range.end < range.start) {
    throw new Fault("InvalidArgument", { message: "x-amz-copy-source-range must be bytes=first-last." });
  }
  if (range.end >= sizeBytes) {
    throw new Fault("InvalidRange", { details: { ActualObjectSize: String(sizeBytes), RangeRequested: header } });
  }
  return range;
}

/**
 * One `bytes=` range. Undefined where the header is to be ignored: absent, malformed, or several ranges.
 * @throws Fault InvalidRange
 */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? "");
  if (!match) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return undefined;
  const start = first === "" ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const end = first === "" || last === "" ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  if (first !== "" && last !== "" && Number(last) < Number(first)) return undefined;
  if (start >= sizeBytes || (first === "" && Number(last) === 0)) {
    throw new Fault("InvalidRange", { details: { ActualObjectSize: String(sizeBytes), RangeRequested: header ?? "" } });
  }
  return { start, end };
}
