import { AppError } from "@holdfast/protocol";
import { type Database, lockName, type Tx } from "../ports/database.ts";

export interface RequestIdentity {
  /** The header `Idempotency-Key`. */
  key?: string;
  /** `x-stainless-retry-count`: how often the official SDK has sent this request before. It sends no key. */
  retryCount: number;
  /** SHA-256 of the request body, hex. */
  bodyHash: string;
}

/** How long the first result is given to a repeated request. */
const rememberMs = 10 * 60 * 1000;
const rememberKeyMs = 24 * 60 * 60 * 1000;

interface Scope {
  accountId: string;
  /** What the request is about, e.g. `send:sesn_…`. */
  scope: string;
  identity: RequestIdentity;
  nowMs: number;
}

interface OnceOptions<T> extends Scope {
  /** Whether what came of it is still there. */
  isThere?: (result: T) => Promise<boolean>;
  /** The session with which the result is forgotten. */
  sessionOf?: (result: T) => string;
}

/**
 * Runs `work` once per request: a repetition gets the first result, which must be ids, no content: it is kept beside
 * what it names. Everything happens in the caller's transaction, so
 * that a result is remembered if and only if its work was committed. One that `isThere` denies, because it was deleted
 * since, is made anew.
 */
export async function once<T>(
  tx: Tx,
  { accountId, scope, identity, nowMs, isThere, sessionOf }: OnceOptions<T>,
  work: () => Promise<T>,
) {
  const { key, bodyHash, retryCount } = identity;
  const rowKey = key === undefined ? `body:${scope}:${bodyHash}` : `key:${scope}:${key}`;
  // Of two at the same time, on whichever servers, the second finds what the first has stored.
  await lockName(tx, `once:${accountId}:${rowKey}`);
  const known = await tx
    .selectFrom("idempotency")
    .selectAll()
    .where("account_id", "=", accountId)
    .where("key", "=", rowKey)
    .executeTakeFirst();
  const fresh = known !== undefined && nowMs - known.created_at < (key === undefined ? rememberMs : rememberKeyMs);
  if (fresh && (key !== undefined || retryCount > 0)) {
    if (known.body_hash !== bodyHash) {
      throw new AppError("request_invalid", {
        detail: "This Idempotency-Key was used with another body",
        errors: [{ path: "Idempotency-Key", message: "use a new key for a new request" }],
      });
    }
    const first = JSON.parse(known.response_json) as T;
    if (isThere === undefined || (await isThere(first))) return { result: first, repeated: true };
  }
  const result = await work();
  const row = {
    body_hash: bodyHash,
    response_json: JSON.stringify(result),
    session_id: sessionOf?.(result) ?? null,
    created_at: nowMs,
  };
  await tx
    .insertInto("idempotency")
    .values({ account_id: accountId, key: rowKey, ...row })
    .onConflict((conflict) => conflict.columns(["account_id", "key"]).doUpdateSet(row))
    .execute();
  return { result, repeated: false };
}

/** Drops what nobody can ask for any more. */
export async function forgetOld(db: Database, nowMs: number): Promise<void> {
  await db
    .deleteFrom("idempotency")
    .where("created_at", "<", nowMs - rememberKeyMs)
    .execute();
  // Every older one is gone: what is looked through here are the keys of one day.
  await db
    .deleteFrom("idempotency")
    .where("created_at", "<", nowMs - rememberMs)
    .where("key", "like", "body:%")
    .execute();
}
