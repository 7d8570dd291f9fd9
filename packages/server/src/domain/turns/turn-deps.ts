import type { Logger } from "pino";
import type { SandboxOptions } from "../../config/options.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Database } from "../../ports/database.ts";
import type { EventLog } from "../../ports/event-log.ts";
import type { ModelGateway } from "../../ports/model-gateway.ts";
import type { Environments } from "../environments/environments.ts";
import type { Dispatcher } from "../leases/dispatcher.ts";
import type { Leases } from "../leases/leases.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import type { Sandboxes } from "../sandboxes/sandboxes.ts";

/** What working on turns takes. */
export interface TurnDeps {
  db: Database;
  log: EventLog;
  clock: Clock;
  leases: Leases;
  dispatcher: Dispatcher;
  logger: Logger;
  gateway: ModelGateway;
  environments: Pick<Environments, "image">;
  sandboxes: Sandboxes;
  options: SandboxOptions;
  /** Whether a save of it runs or waits. */
  isSaving: (workspaceId: string) => boolean;
  /** A turn has ended: the workspace may be saved. */
  onTurnEnd: (turn: { sessionId: string; sandbox: LiveSandbox; generation: number }) => void;
}
