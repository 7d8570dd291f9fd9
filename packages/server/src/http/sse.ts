import { startTimer } from "@holdfast/std";
/** One frame. `event: message` unless it says otherwise. */
export interface SseFrame {
  event?: "message" | "ping" | "error";
  id?: number | string;
  /** Sent as one line of JSON. */
  data: unknown;
}

export interface SseOptions {
  /** The request's: aborts when the client leaves or the server stops. */
  signal: AbortSignal;
  heartbeatMs: number;
  headers?: Record<string, string>;
  /** The last frame of a stream that failed. */
  onError: (error: unknown) => SseFrame;
}

const encoder = new TextEncoder();

export function encodeSse({ event = "message", id, data }: SseFrame): Uint8Array {
  const lines = [`event: ${event}`, ...(id === undefined ? [] : [`id: ${id}`]), `data: ${JSON.stringify(data)}`];
  return encoder.encode(`${lines.join("\n")}\n\n`);
}

const heartbeat: SseFrame = { event: "ping", data: { type: "ping" } };

/**
 * A response of server-sent events. Pull-driven: nothing is read from the source before the client takes it. The signal
 * that `open` gets aborts as soon as the client leaves, so that a source which waits can let go of what it holds.
 */
export function sseResponse(open: (signal: AbortSignal) => AsyncIterable<SseFrame>, options: SseOptions): Response {
  const left = new AbortController();
  const signal = AbortSignal.any([left.signal, options.signal]);
  const source = open(signal)[Symbol.asyncIterator]();
  let next: Promise<IteratorResult<SseFrame>> | undefined;
  // Also when the source stands at a frame that nobody takes any more: it then hears of nothing but this.
  const end = () => {
    // What either of them still rejects with concerns nobody.
    next?.catch(() => undefined);
    source.return?.().catch(() => undefined);
  };
  signal.addEventListener("abort", end, { once: true });
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        next ??= source.next();
        try {
          const result = await orTimeout(next, options.heartbeatMs);
          if (result === undefined) return controller.enqueue(encodeSse(heartbeat));
          next = undefined;
          if (result.done) return controller.close();
          controller.enqueue(encodeSse(result.value));
        } catch (error) {
          left.abort();
          if (!options.signal.aborted) controller.enqueue(encodeSse(options.onError(error)));
          controller.close();
        }
      },
      cancel() {
        left.abort();
      },
    },
    { highWaterMark: 0 },
  );
  const headers = { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" };
  return new Response(body, { headers: { ...headers, ...options.headers } });
}

/** Undefined when it takes longer. */
async function orTimeout<T>(promise: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = startTimer(timeoutMs, () => resolve(undefined));
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer[Symbol.dispose]();
  }
}
