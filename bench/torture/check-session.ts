import type { SessionEvent } from "@holdfast/protocol";
import { some } from "./check-turn.ts";
import { type Finding, noCounts } from "./finding.ts";
import { compareItems, type Item, isSaid, itemsOfLines, itemsOfLog } from "./items.ts";
import type { Kind } from "./kind.ts";

interface SessionCheck {
  sessionId: string;
  log: readonly SessionEvent[];
  /** What its processes printed, as the guest had it. */
  spools: readonly (readonly string[])[];
  /** What a reader got who was there the whole time. */
  seen: readonly SessionEvent[];
  mode: Kind["turn"];
}

/** A session's whole log: dense, each event once, the same as the spool's lines, the same for its readers. */
export function checkSession({ sessionId, log, spools, seen, mode }: SessionCheck): Finding {
  const finding: Finding = { ...noCounts(), failures: [] };
  const fail = (text: string) => finding.failures.push(`${sessionId}: ${text}`);
  const gap = log.findIndex((event, index) => event.seq !== index + 1);
  if (gap >= 0) fail(`seq ${log[gap]?.seq} stands where ${gap + 1} should be`);
  const ids = new Set(log.map(({ id }) => id));
  if (ids.size !== log.length) {
    finding.doubled += log.length - ids.size;
    fail(`${log.length - ids.size} event ids stand in the log twice`);
  }
  const logged = itemsOfLog(log).filter(isSaid);
  const spool = compareItems(spools.flatMap(itemsOfLines), logged);
  const unread = mode === "forfeits" ? spools.flatMap((lines) => unreadOf(itemsOfLines(lines), logged)) : [];
  const lost = spool.lost.filter((key) => !unread.includes(key));
  finding.unread += unread.length;
  finding.lost += lost.length;
  finding.doubled += spool.doubled.length;
  finding.disordered += spool.disordered.length;
  if (lost.length > 0) fail(`in the spool, not in the log: ${some(lost)}`);
  if (spool.doubled.length > 0) fail(`once in the spool, twice in the log: ${some(spool.doubled)}`);
  if (spool.disordered.length > 0) fail(`in another order than in the spool: ${some(spool.disordered)}`);
  if (spool.invented.length > 0) fail(`in the log, not in the spool: ${some(spool.invented)}`);
  const reader = compareItems(log.map(asItem), seen.map(asItem));
  finding.lost += reader.lost.length;
  finding.doubled += reader.doubled.length;
  finding.disordered += reader.disordered.length;
  if (reader.lost.length > 0) fail(`a reader of the stream never got ${some(reader.lost)}`);
  if (reader.doubled.length > 0) fail(`a reader of the stream got twice ${some(reader.doubled)}`);
  if (reader.disordered.length > 0) fail(`a reader of the stream got out of order ${some(reader.disordered)}`);
  if (reader.invented.length > 0) fail(`a reader of the stream got what is not stored: ${some(reader.invented)}`);
  return finding;
}

const asItem = (event: SessionEvent) => ({ key: `${event.seq} ${event.id} ${event.type}` });

/** What stands at the end of a spool, after the last that was read. */
function unreadOf(spooled: readonly Item[], logged: readonly Item[]): string[] {
  const known = new Set(logged.map(({ key }) => key));
  const last = spooled.findLastIndex(({ key }) => known.has(key));
  return spooled.slice(last + 1).map(({ key }) => key);
}
