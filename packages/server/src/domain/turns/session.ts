import type { SessionAgent } from "@holdfast/protocol";
import type { AppendEvents } from "../sessions/steps.ts";

/** A session that this server works on. */
export interface Session {
  id: string;
  accountId: string;
  generation: number;
  /** Null: the built-in one. */
  agent: SessionAgent | null;
  environmentId: string;
}

export interface PrepareInput {
  session: Session;
  append: AppendEvents;
  signal: AbortSignal;
}
