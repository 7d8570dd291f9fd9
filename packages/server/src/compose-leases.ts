import { hostname } from "node:os";
import type { Logger } from "pino";
import { Dispatcher } from "./domain/leases/dispatcher.ts";
import { Leases } from "./domain/leases/leases.ts";
import { type LeaseTimings, leaseTimings, Membership } from "./domain/leases/membership.ts";
import { systemClock } from "./ports/clock.ts";
import type { Database } from "./ports/database.ts";
import type { ServerBus } from "./ports/server-bus.ts";
import { serverIdNote } from "./server-id.ts";

export interface LeaseParts {
  /** To be disposed of by whoever starts it. */
  leases: Leases;
  dispatcher: Dispatcher;
}

interface Parts {
  db: Database;
  bus: ServerBus;
  dataDir: string;
  logger: Logger;
  stack: AsyncDisposableStack;
  timings: LeaseTimings | undefined;
}

/** This server's place among those of its database. Left when everything that works under a lease has let go. */
export async function composeLeases({
  db,
  bus,
  dataDir,
  logger,
  stack,
  timings = leaseTimings,
}: Parts): Promise<LeaseParts> {
  const note = serverIdNote(dataDir, logger);
  const membership = stack.use(
    await Membership.join({ db, clock: systemClock, logger, host: hostname(), note, timings }),
  );
  const leases = new Leases({ db, logger, membership, timings });
  const dispatcher = stack.use(new Dispatcher({ bus, leases, logger }));
  return { leases, dispatcher };
}
