import type { DatabaseSync } from "node:sqlite";
import type { SandboxTokenPayload } from "@holdfast/std";

/** `jti` and `sbx` are gone for good; `acc`, `wsp` and `ses` refuse the tokens minted until now. */
export type RevocationKind = "jti" | "sbx" | "acc" | "wsp" | "ses";
export const REVOCATION_KINDS: readonly RevocationKind[] = ["jti", "sbx", "acc", "wsp", "ses"];
const FOR_GOOD: ReadonlySet<RevocationKind> = new Set(["jti", "sbx"]);

/** Which tokens are worth nothing any more. */
export class Revocations {
  readonly #db: DatabaseSync;
  readonly #at = new Map<string, number>();

  constructor(db: DatabaseSync) {
    this.#db = db;
    for (const row of db.prepare("SELECT kind, id, at_ms FROM revocation").all()) {
      this.#at.set(`${row.kind} ${row.id}`, Number(row.at_ms));
    }
  }

  /** Committed when it returns. */
  add(kind: RevocationKind, id: string): void {
    const now = Date.now();
    this.#db
      .prepare(
        "INSERT INTO revocation (kind, id, at_ms) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms",
      )
      .run(kind, id, now);
    this.#at.set(`${kind} ${id}`, now);
  }

  isRevoked(token: SandboxTokenPayload): boolean {
    return REVOCATION_KINDS.some((kind) => {
      const id = token[kind];
      const at = id === undefined ? undefined : this.#at.get(`${kind} ${id}`);
      if (at === undefined) return false;
      return FOR_GOOD.has(kind) || (token.iat ?? 0) * 1000 <= at;
    });
  }
}
