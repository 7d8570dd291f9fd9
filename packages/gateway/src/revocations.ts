import type { DatabaseSync } from "node:sqlite";
import type { SandboxTokenPayload } from "@holdfast/std";

/** `jti` and `sbx` are gone for good; `acc`, `wsp` and `ses` refuse the tokens minted until now. */
export type RevocationKind = "jti" | "sbx" | "acc" | "wsp" | "ses";
export const REVOCATION_KINDS: readonly RevocationKind[] = ["jti", "sbx", "acc", "wsp", "ses"];
const FOR_GOOD: ReadonlySet<RevocationKind> = new Set(["jti", "sbx"]);

/** However late a token says it expires. What was revoked for longer than that needs no revocation any more. */
export const maxTokenLifeMs = 7 * 24 * 60 * 60 * 1000;

/** Whether it has lived for too long. One that does not say since when has. */
export function isTooOld({ iat = 0 }: SandboxTokenPayload, nowMs: number): boolean {
  return iat * 1000 + maxTokenLifeMs <= nowMs;
}

/** Which tokens are worth nothing any more. */
export class Revocations {
  readonly #db: DatabaseSync;
  readonly #now: () => number;
  /** Unix ms; the oldest first. */
  readonly #at = new Map<string, number>();

  constructor(db: DatabaseSync, now: () => number = Date.now) {
    this.#db = db;
    this.#now = now;
    for (const row of db.prepare("SELECT kind, id, at_ms FROM revocation ORDER BY at_ms").all()) {
      this.#at.set(`${row.kind} ${row.id}`, Number(row.at_ms));
    }
  }

  /** Committed when it returns. */
  add(kind: RevocationKind, id: string): void {
    const now = this.#now();
    this.#db
      .prepare(
        "INSERT INTO revocation (kind, id, at_ms) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms",
      )
      .run(kind, id, now);
    this.#at.delete(`${kind} ${id}`);
    this.#at.set(`${kind} ${id}`, now);
    this.#forgetOld(now - maxTokenLifeMs);
  }

  get size(): number {
    return this.#at.size;
  }

  isRevoked(token: SandboxTokenPayload): boolean {
    return REVOCATION_KINDS.some((kind) => {
      const id = token[kind];
      const at = id === undefined ? undefined : this.#at.get(`${kind} ${id}`);
      if (at === undefined) return false;
      return FOR_GOOD.has(kind) || (token.iat ?? 0) * 1000 <= at;
    });
  }

  #forgetOld(beforeMs: number): void {
    this.#db.prepare("DELETE FROM revocation WHERE at_ms < ?").run(beforeMs);
    for (const [key, at] of this.#at) {
      if (at >= beforeMs) return;
      this.#at.delete(key);
    }
  }
}
