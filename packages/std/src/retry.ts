import { sleep } from "./abort.ts";

export interface RetryOptions {
  /** How often at the most, the first try included. */
  attempts: number;
  /** Wait before the second try; doubles each time. */
  baseMs: number;
  maxMs: number;
  signal?: AbortSignal;
  /** Whether this error may pass by itself. Default: always. */
  isTransient?: (error: unknown) => boolean;
  /** Told before each wait. `attempt` is the one that failed, from 1. */
  onRetry?: (error: unknown, attempt: number, waitMs: number) => void;
}

/** Runs `work` until it succeeds, fails for good, or the attempts are used up; then the last error is thrown. */
export async function retry<T>(work: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      const lasting = options.isTransient !== undefined && !options.isTransient(error);
      if (attempt >= options.attempts || lasting || options.signal?.aborted) throw error;
      const waitMs = Math.min(options.maxMs, options.baseMs * 2 ** (attempt - 1));
      options.onRetry?.(error, attempt, waitMs);
      await sleep(waitMs, options.signal);
    }
  }
}
