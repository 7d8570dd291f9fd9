const MAX_CONVERSATIONS = 10_000;

/**
 * Remembers which prompts were put to the model together. A prompt whose answer failed stays in the history without an
 * answer and comes again with the next one; without this memory it would be carried out a second time.
 */
export class TurnMemory {
  readonly #turns = new Map<string, { start: number; end: number }>();

  /** Index of the first prompt of the turn under way; `key` is empty for a client without sessions. */
  start({ key, count, openFrom }: { key: string; count: number; openFrom: number }): number {
    if (key === "") return openFrom;
    const known = this.#turns.get(key);
    let start = openFrom;
    if (known?.end === count && known.start >= openFrom) start = known.start;
    else if (known && known.end < count) start = Math.max(known.end, openFrom);
    this.#turns.delete(key);
    this.#turns.set(key, { start, end: count });
    if (this.#turns.size > MAX_CONVERSATIONS) {
      for (const oldest of this.#turns.keys()) {
        this.#turns.delete(oldest);
        break;
      }
    }
    return start;
  }
}
