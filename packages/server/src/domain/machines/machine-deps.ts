import type { Logger } from "pino";
import type { Database } from "../../ports/database.ts";
import type { Environments } from "../environments/environments.ts";
import type { Sandboxes } from "../sandboxes/sandboxes.ts";
import type { AppendEvents } from "../sessions/steps.ts";

/** What making a workspace's machine takes. */
export interface MachineDeps {
  db: Database;
  logger: Logger;
  environments: Pick<Environments, "image">;
  sandboxes: Sandboxes;
}

/** Who is told of what takes time, and until when anybody wants it. */
export interface Told {
  append: AppendEvents;
  signal: AbortSignal;
}
