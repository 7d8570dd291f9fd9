import { refuse } from "../errors.ts";
import type { Store } from "./store.ts";

/** Host ids per owner: what one user namespace maps. */
export const rangeSize = 65_536;
/** Above every range that distributions and systemd give out. */
const firstBase = 0x7000_0000;
const lastBase = 0xfffd_0000;

/**
 * The first of the 65 536 host ids of `owner` (an account, an app, the image builder). Recorded before it is used. Only
 * when all are given out does the range go to another owner that has been nobody's for longest: no sandbox of its old
 * owner lives, and what volumes hold carries none of these ids.
 */
export function hostIdBase(store: Store, owner: string, last = lastBase): number {
  const known = store.get("SELECT base FROM id_ranges WHERE owner = ?", owner);
  if (known) return Number(known.base);
  return store.transaction(() => {
    const top = store.get("SELECT max(base) AS top FROM id_ranges")?.top;
    const base = top == null ? firstBase : Number(top) + rangeSize;
    if (base > last) return takeOver(store, owner);
    store.run("INSERT INTO id_ranges (owner, base) VALUES (?, ?)", owner, base);
    return base;
  });
}

function takeOver(store: Store, owner: string): number {
  const free = store.get(
    `SELECT owner, base FROM id_ranges WHERE owner <> 'image-builder' AND owner NOT IN
       (SELECT spec ->> '$.idOwner' FROM sandboxes WHERE status <> 'finished') ORDER BY rowid LIMIT 1`,
  );
  if (!free) throw refuse.idRangesUsedUp();
  store.run("DELETE FROM id_ranges WHERE owner = ?", String(free.owner));
  store.run("INSERT INTO id_ranges (owner, base) VALUES (?, ?)", owner, Number(free.base));
  return Number(free.base);
}
