import { Installation } from "./installation.ts";
import type { Kind } from "./kind.ts";
import { type RoundResult, runRound, type Seat } from "./round.ts";

export interface Campaign {
  kind: Kind;
  seed: string;
  /** Numbers of the rounds: a round's number and the seed name its blow. */
  rounds: readonly number[];
  onRound(result: RoundResult): void;
  /** Ends it early, between two rounds. */
  signal: AbortSignal;
}

/** A conversation grows with each round, and its log with it. */
const roundsPerSession = 3;

/** One installation, and a round after the other. */
export async function runKind({ kind, seed, rounds, onRound, signal }: Campaign): Promise<RoundResult[]> {
  await using stack = new AsyncDisposableStack();
  const options = await kind.prepare?.(stack);
  await using installation = await Installation.start(options);
  // Not part of any round: image and first sandbox.
  const { sessionId } = await installation.kit.turn("run `true`", { timeoutMs: 300_000 });
  await installation.deleteSession(sessionId, AbortSignal.timeout(60_000));
  await kind.begin?.(installation);
  const results: RoundResult[] = [];
  let seats: Seat[] = [];
  let talk: Seat | undefined;
  try {
    for (const [index, round] of rounds.entries()) {
      if (signal.aborted) break;
      if (index % roundsPerSession === 0 || results.at(-1)?.leftRunning) {
        await leave(installation, talk === undefined ? seats : [...seats, talk]);
        seats = await sit(installation, kind.sessions);
        [talk] = await sit(installation, 1);
      }
      if (talk === undefined) throw new Error("nobody talks");
      const result = await runRound({ kind, installation, seats, talk, seed, round });
      results.push(result);
      onRound(result);
    }
  } finally {
    for (const { reader } of talk === undefined ? seats : [...seats, talk]) await reader[Symbol.asyncDispose]();
  }
  return results;
}

/** New sessions, each with a reader. */
export async function sit(installation: Installation, count: number): Promise<Seat[]> {
  const seats: Seat[] = [];
  for (let seat = 0; seat < count; seat++) {
    const sessionId = await installation.newSession();
    seats.push({ sessionId, reader: installation.reader(sessionId), counted: 0 });
  }
  return seats;
}

export async function leave(installation: Installation, seats: readonly Seat[]): Promise<void> {
  for (const { sessionId, reader } of seats) {
    await reader[Symbol.asyncDispose]();
    await installation.deleteSession(sessionId, AbortSignal.timeout(60_000));
  }
}
