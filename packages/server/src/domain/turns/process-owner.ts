import type { MapperContext, MapperState, MapResult } from "@holdfast/claude";
import type { NewEvent } from "@holdfast/protocol";
import type { Updateable } from "kysely";
import type { Logger } from "pino";
import type { Schema, Tx } from "../../ports/database.ts";
import type { EventLog } from "../../ports/event-log.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";

export interface ProcessExit {
  code: number | null;
  signal: string | null;
  /** The last of what it printed there. */
  stderr: string;
}

/** What the session adds to what a line of its process says. */
export interface LineEffect {
  events: readonly NewEvent[];
  session?: Updateable<Schema["sessions"]>;
  /** What can only be known within the transaction; its events come after the others. */
  more?: (tx: Tx) => Promise<Pick<LineEffect, "events" | "session">>;
  /** Committed with it. */
  also?: (tx: Tx) => Promise<void>;
  /** After the commit. */
  after?: () => void;
}

export interface ProcessOwner {
  onLine(result: MapResult): LineEffect | undefined;
  onExit(exit: ProcessExit): LineEffect;
  /** Its output cannot be had any more: the sandbox ended, or the guest forgot it. */
  onLost(error: unknown): void;
}

export interface ClaudeProcessInput {
  processId: string;
  sessionId: string;
  generation: number;
  sandbox: LiveSandbox;
  mapper: MapperState;
  context: MapperContext;
  offsets: { stdout: number; stderr: number };
  owner: ProcessOwner;
  /** Aborts when it is to be let go of; it goes on. */
  lifetime: AbortSignal;
}

export interface ClaudeProcessDeps {
  log: EventLog;
  logger: Logger;
}
