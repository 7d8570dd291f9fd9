export interface Beat {
  id: string;
  beats: number;
}

export interface JudgeTimings {
  /** A server whose count stood still for so long is dead. */
  deadMs: number;
  /** An observer that did not look for so long has seen nothing: it begins anew. */
  blindMs: number;
}

/**
 * Tells the dead from the living without comparing clocks: it counts, by the observer's own clock, how long another
 * one's heartbeat has stood still while it was being looked at.
 */
export class HeartbeatJudge {
  readonly #timings: JudgeTimings;
  readonly #seen = new Map<string, { beats: number; sinceMs: number }>();
  #lookedMs: number | undefined;

  constructor(timings: JudgeTimings) {
    this.#timings = timings;
  }

  /** Those of `servers` that are dead, as of `nowMs` of a clock that only goes forward. */
  observe(servers: readonly Beat[], nowMs: number): Beat[] {
    // It was itself stopped, or the database away: the others could not be seen to beat.
    const blind = this.#lookedMs === undefined || nowMs - this.#lookedMs > this.#timings.blindMs;
    this.#lookedMs = nowMs;
    const present = new Set(servers.map(({ id }) => id));
    for (const id of this.#seen.keys()) if (!present.has(id)) this.#seen.delete(id);
    return servers.filter(({ id, beats }) => {
      const known = this.#seen.get(id);
      if (blind || known === undefined || known.beats !== beats) {
        this.#seen.set(id, { beats, sinceMs: nowMs });
        return false;
      }
      return nowMs - known.sinceMs >= this.#timings.deadMs;
    });
  }
}
