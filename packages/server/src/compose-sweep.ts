import type { Logger } from "pino";
import { forgetOld } from "./domain/idempotency.ts";
import type { Leases } from "./domain/leases/leases.ts";
import { Retention } from "./domain/retention.ts";
import type { Revocations } from "./domain/sandboxes/revocations.ts";
import type { Sandboxes } from "./domain/sandboxes/sandboxes.ts";
import { StrayEnder } from "./domain/sandboxes/stray-ender.ts";
import { Strays } from "./domain/sandboxes/strays.ts";
import { Sweep } from "./domain/sandboxes/sweep.ts";
import type { Erasures } from "./domain/sessions/erasures.ts";
import type { Syncs } from "./domain/storage/syncs.ts";
import type { Turns } from "./domain/turns/turns.ts";
import type { Workspaces } from "./domain/workspaces/workspaces.ts";
import type { Clock } from "./ports/clock.ts";
import { type Database, dropDeleted } from "./ports/database.ts";
import type { SandboxProvider } from "./ports/sandbox-provider.ts";

export interface SweepParts {
  db: Database;
  clock: Clock;
  provider: SandboxProvider;
  leases: Leases;
  sandboxes: Sandboxes;
  revocations: Revocations;
  syncs: Syncs;
  turns: Turns;
  workspaces: Workspaces;
  erasures: Erasures;
  /** Goes on with the deletion of accounts. */
  removeAccounts: (signal: AbortSignal) => Promise<void>;
  installationId: string;
  /** How long a sandbox is kept that nobody knows. */
  unknownKeptMs: number;
  /** How long what is over is remembered. */
  recordsKeptMs: number;
  logger: Logger;
}

/** The sweep with what it does to sandboxes that nobody knows. */
export function composeSweep(parts: SweepParts): { sweep: Sweep; strays: Strays; ender: StrayEnder } {
  const {
    db,
    clock,
    provider,
    leases,
    sandboxes,
    revocations,
    syncs,
    turns,
    workspaces,
    erasures,
    installationId,
    logger,
  } = parts;
  const strays = new Strays({ db, clock, keptMs: parts.unknownKeptMs });
  const retention = new Retention({ db, clock, keptMs: parts.recordsKeptMs });
  const onEnded = (id: string) => revocations.schedule(id);
  const ender = new StrayEnder({
    strays,
    provider,
    installationId,
    save: (from, signal) => syncs.saveNow(from, signal),
    logger,
    onEnded,
  });
  const sweep = new Sweep({
    db,
    clock,
    provider,
    sandboxes,
    strays,
    ender,
    installationId,
    logger,
    onEnded,
    onOrphaned: (sessionIds, workspaceId) => {
      turns
        .orphaned(sessionIds, workspaceId)
        .catch((error) => logger.error({ err: error, sessions: sessionIds }, "turns without a sandbox run on"));
    },
    owns: async (workspaceId) => {
      // Not one that was stopped for a while, and whose workspaces others have by now.
      await leases.confirm();
      return (await leases.ownerOf(workspaceId)).kind !== "other";
    },
    also: async (signal) => {
      // A gateway that is away keeps no volume from being deleted.
      const done = await Promise.allSettled([
        revocations.retry(signal),
        workspaces.purge(signal),
        erasures.retry(signal),
        parts.removeAccounts(signal),
        forgetOld(db, clock.now())
          .then(() => retention.round(signal))
          .then(() => dropDeleted(db)),
      ]);
      for (const each of done) if (each.status === "rejected") throw each.reason;
    },
  });
  return { sweep, strays, ender };
}
