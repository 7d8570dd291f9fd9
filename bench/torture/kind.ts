import type { SessionEvent } from "@holdfast/protocol";
import type { Finding } from "./finding.ts";
import type { Installation, InstallationOptions } from "./installation.ts";
import type { Random } from "./random.ts";

/** What a kind of death, or of cut, may use. */
export interface Blow {
  installation: Installation;
  random: Random;
  /** Those whose turns are running. */
  sessionIds: readonly string[];
  /** Whether all of those turns have ended. */
  ended(): boolean;
  signal: AbortSignal;
}

export interface Kind {
  name: string;
  /** For the report: what is done. */
  what: string;
  rounds: number;
  /**
   * `goes_on`: the turn ends as if nothing had happened. `ends`: the turn may be cut short; what the guest had spooled
   * is in the log. `forfeits`: as `ends`, and what the spool held and nobody had read is gone with it.
   */
  turn: "goes_on" | "ends" | "forfeits";
  /** Sessions that work at the same time. */
  sessions: number;
  /** One tool call of the turn never ends by itself: what the dead leave behind shows. */
  wall?: boolean;
  /** The whole installation runs in a network namespace of its own. */
  ownNetwork?: boolean;
  /** What the installation is started with; undone by the stack when it has ended. */
  prepare?(stack: AsyncDisposableStack): Promise<InstallationOptions>;
  /** Once, when the first sandbox runs. */
  begin?(installation: Installation): Promise<void>;
  /** Before each round's turns. */
  before?(sessionIds: readonly string[]): Promise<void>;
  /** Compares the first session's log with what else shows it. */
  compare?(log: readonly SessionEvent[]): Promise<Pick<Finding, "lost" | "doubled" | "disordered" | "failures">>;
  /** Kills or cuts. Resolves when the machine is whole again, with the number of things killed. */
  strike(blow: Blow): Promise<{ kills: number; detail: string }>;
}
