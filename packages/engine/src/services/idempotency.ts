import type { CallContext } from "nice-grpc";

/** Far longer than the SDK repeats a call. */
const keptMs = 600_000;
/** More than these within that time, and the oldest is forgotten. */
const maxKept = 10_000;

/**
 * Answers the repeats of a create with the first answer, by the `x-idempotency-key` that the SDK sends with each try.
 * In memory: what must also hold across a restart keeps the key in the state. Failures are not kept.
 */
export function createIdempotency(): <T>(context: CallContext, work: () => Promise<T>) => Promise<T> {
  const answers = new Map<string, { answer: Promise<unknown>; atMs: number }>();
  return async <T>(context: CallContext, work: () => Promise<T>): Promise<T> => {
    const key = idempotencyKey(context);
    if (key === undefined) return await work();
    const now = Date.now();
    // They are in the order of their times.
    for (const [old, { atMs }] of answers) {
      if (atMs >= now - keptMs && answers.size < maxKept) break;
      answers.delete(old);
    }
    const known = answers.get(key);
    if (known) return (await known.answer) as T;
    const answer = work();
    answers.set(key, { answer, atMs: now });
    answer.catch(() => answers.delete(key));
    return await answer;
  };
}

export function idempotencyKey(context: CallContext): string | undefined {
  const key = context.metadata.get("x-idempotency-key");
  return key !== undefined && key !== "" && key.length <= 200 ? key : undefined;
}
