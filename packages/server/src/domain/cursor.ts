import { AppError } from "@holdfast/protocol";

export interface Cursor {
  /** What is paged through: a session's id, or `sessions`. */
  of: string;
  order: "asc" | "desc";
  /** The last item of the page before. */
  last: string | number;
  /** Leads to the page before `last`, not to the one after it. */
  back?: boolean;
}

/** Opaque to clients. */
export function encodeCursor(cursor: Cursor): string {
  return Buffer.from(JSON.stringify([cursor.of, cursor.order, cursor.last, ...(cursor.back ? ["back"] : [])])).toString(
    "base64url",
  );
}

/** Refuses a cursor that was made for another list or another order. */
export function decodeCursor(page: string, expected: Pick<Cursor, "of" | "order">): Cursor["last"] {
  const cursor = decodeEither(page, expected);
  return cursor.back ? refuse("is not a cursor of this list") : cursor.last;
}

/** For lists that are sorted by a number. */
export function decodeNumber(page: string, expected: Pick<Cursor, "of" | "order">): number {
  const last = decodeCursor(page, expected);
  return typeof last === "number" ? last : refuse("is not a cursor of this list");
}

/** The same for lists that can be paged in both directions. */
export function decodeEither(
  page: string,
  expected: Pick<Cursor, "of" | "order">,
): Required<Pick<Cursor, "last" | "back">> {
  const parts = parse(page);
  if (!Array.isArray(parts) || parts.length < 3 || parts.length > 4) return refuse("is not a cursor of this API");
  const [of, order, last, back] = parts as unknown[];
  if (of !== expected.of) return refuse("belongs to another list");
  if (order !== expected.order) return refuse("was made with another `order`");
  if (typeof last === "string" ? last.includes("\0") : !Number.isSafeInteger(last))
    return refuse("is not a cursor of this API");
  return { last: last as Cursor["last"], back: back === "back" };
}

function parse(page: string): unknown {
  try {
    return JSON.parse(Buffer.from(page, "base64url").toString("utf8"));
  } catch {
    // Not ours: the caller says so.
    return undefined;
  }
}

function refuse(message: string): never {
  throw new AppError("request_invalid", { detail: `\`page\` ${message}`, errors: [{ path: "page", message }] });
}
