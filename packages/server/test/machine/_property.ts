import fc from "fast-check";
// First: it has work of other threads done at once, for whatever takes that.
import "./_time.ts";
import { Broken, checkAlways, checkEnd } from "./_checks.ts";
import { type Case, cases, inWords } from "./_commands.ts";
import { play } from "./_run.ts";
import { Store } from "./_store.ts";

export interface PropertyOptions {
  runs: number;
  seed?: number;
  /** Of fast-check: leads from the seed to the very case, shrunk. */
  path?: string;
  /** Ends the search, not a run. */
  limitMs?: number;
  /** False: the first failure is told as it is. */
  shrinks?: boolean;
}

export interface PropertyReport {
  runs: number;
  seed: number;
  failure?: { what: string; path: string; case: Case; trace: string[] };
}

let store: Promise<Store> | undefined;

/** One case: what it broke, and what was going on. */
export async function playCase(given: Case): Promise<{ broken: unknown; trace: string[] }> {
  store ??= Store.open();
  const trace: string[] = [];
  try {
    checkEnd(await play(await store, given, { check: checkAlways, trace }));
    return { broken: undefined, trace };
  } catch (error) {
    return { broken: error, trace };
  }
}

/** Plays cases until one breaks something; that one is made as short as it can be. */
export async function checkProperty({
  runs,
  seed,
  path,
  limitMs,
  shrinks = true,
}: PropertyOptions): Promise<PropertyReport> {
  const property = fc.asyncProperty(cases, async (each) => {
    const { broken } = await playCase(each);
    if (broken !== undefined) throw broken;
  });
  const details = await fc.check(property, {
    numRuns: runs,
    endOnFailure: !shrinks,
    ...(seed === undefined ? {} : { seed }),
    ...(path === undefined ? {} : { path }),
    ...(limitMs === undefined ? {} : { interruptAfterTimeLimit: limitMs }),
  });
  const report = { runs: details.numRuns, seed: details.seed };
  const [failed] = details.counterexample ?? [];
  if (!details.failed || failed === undefined) return report;
  const { broken: error, trace } = await playCase(failed);
  const what = error instanceof Broken ? error.message : String(error instanceof Error ? error.stack : error);
  return { ...report, failure: { what, path: details.counterexamplePath ?? "", case: failed, trace } };
}

/** A failure for people: what broke, how to play it again, what went on. */
export function explain({ seed, failure }: PropertyReport): string {
  if (failure === undefined) return "nothing was broken";
  const again = `node bench/session-property.ts --seed ${seed} --path ${failure.path}`;
  return [failure.what, `again: ${again}`, "", inWords(failure.case), "", ...failure.trace].join("\n");
}
