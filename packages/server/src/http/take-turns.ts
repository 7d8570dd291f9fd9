import { setImmediate } from "node:timers/promises";

/** One of several sources that are read at once. */
export interface TurnSource<K, T> {
  key: K;
  open: (signal: AbortSignal) => AsyncIterable<T>;
  /** Says of each item whether the source has caught up with the present by it; undefined: it is there from the start. */
  caughtUp: ((item: T) => boolean) | undefined;
}

/** How many sources that are behind are read at once: each of them holds a page of its past. */
const maxBehind = 8;

interface Open<K, T> extends TurnSource<K, T> {
  iterator: AsyncIterator<T>;
  behind: boolean;
}

/**
 * What all of them give, each in its own order. They take turns: whoever has more to say goes to the back of the line,
 * so that a flood in one keeps nobody waiting. The first that fails fails all. Leaving it lets go of every source.
 */
export async function* takeTurns<K, T>(
  sources: readonly TurnSource<K, T>[],
  signal: AbortSignal,
): AsyncGenerator<{ key: K; item: T }, void, undefined> {
  const left = new AbortController();
  const waiting = sources.filter(({ caughtUp }) => caughtUp !== undefined);
  const ready: { source: Open<K, T>; result: Promise<IteratorResult<T>> }[] = [];
  const all: Open<K, T>[] = [];
  let wake: (() => void) | undefined;
  let open = 0;
  let behind = 0;
  /** Of those that are behind: asked, and have not answered yet. */
  let awaited = 0;

  const ask = (source: Open<K, T>) => {
    const result = source.iterator.next();
    const counts = source.behind ? 1 : 0;
    awaited += counts;
    const settled = () => {
      awaited -= counts;
      ready.push({ source, result });
      wake?.();
    };
    result.then(settled, settled);
  };
  const begin = (source: TurnSource<K, T>) => {
    const iterator = source.open(AbortSignal.any([left.signal, signal]))[Symbol.asyncIterator]();
    const opened: Open<K, T> = { ...source, iterator, behind: source.caughtUp !== undefined };
    if (opened.behind) behind++;
    open++;
    all.push(opened);
    ask(opened);
  };
  const beginMore = () => {
    while (behind < maxBehind) {
      const source = waiting.shift();
      if (source === undefined) return;
      begin(source);
    }
  };
  const isThere = (source: Open<K, T>) => {
    if (!source.behind) return;
    source.behind = false;
    behind--;
    beginMore();
  };

  try {
    for (const source of sources) if (source.caughtUp === undefined) begin(source);
    beginMore();
    while (open > 0) {
      const next = ready.shift();
      if (next === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      const { source } = next;
      const { done, value } = await next.result;
      if (done) {
        open--;
        isThere(source);
        continue;
      }
      // A page of the past is many items at once, and the others' pages are read in turns of the loop to come.
      if (ready.length === 0 && awaited > 0) await setImmediate();
      yield { key: source.key, item: value };
      if (source.caughtUp?.(value)) isThere(source);
      ask(source);
    }
  } finally {
    left.abort();
    // They end by the signal; what they still reject with concerns nobody.
    await Promise.allSettled(all.map(({ iterator }) => iterator.return?.()));
  }
}
