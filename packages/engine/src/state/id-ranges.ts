import { refuse } from "../behaviour/errors.ts";
import type { Store } from "./store.ts";

/** Host ids per owner: what one user namespace maps. */
export const rangeSize = 65_536;
/** Above every range that distributions and systemd give out. */
const firstBase = 0x7000_0000;
const lastBase = 0xfffd_0000;

/**
 * The first of the 65 536 host ids of `owner` (an account, an app, the image builder). Recorded before it is used and
 * never given to another owner.
 */
export function hostIdBase(store: Store, owner: string): number {
  const known = store.get("SELECT base FROM id_ranges WHERE owner = ?", owner);
  if (known) return Number(known.base);
  return store.transaction(() => {
    const top = store.get("SELECT max(base) AS top FROM id_ranges")?.top;
    const base = top == null ? firstBase : Number(top) + rangeSize;
    if (base > lastBase) throw refuse.idRangesUsedUp();
    store.run("INSERT INTO id_ranges (owner, base) VALUES (?, ?)", owner, base);
    return base;
  });
}
