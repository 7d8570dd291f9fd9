/** No frame comes in a background tab; the state is kept up to date all the same, so that coming back is cheap. */
const hiddenIntervalMs = 500;

/**
 * Runs `work` at most once per animation frame, before the frame is painted. When a run was dear (a very long list in
 * one block), the next one waits twice that long: the page never spends more than half of its time on it.
 */
export class FrameScheduler implements Disposable {
  readonly #work: () => void;
  #frame: number | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #notBeforeMs = 0;
  readonly #listeners = new AbortController();

  constructor(work: () => void) {
    this.#work = work;
    const onShown = () => {
      if (!document.hidden && this.#timer !== null) this.#run();
    };
    document.addEventListener("visibilitychange", onShown, { signal: this.#listeners.signal });
  }

  request(): void {
    if (this.#frame !== null || this.#timer !== null) return;
    if (document.hidden) this.#timer = setTimeout(() => this.#run(), hiddenIntervalMs);
    else this.#frame = requestAnimationFrame(() => this.#onFrame());
  }

  [Symbol.dispose](): void {
    this.#listeners.abort();
    this.#cancel();
  }

  #onFrame(): void {
    if (performance.now() >= this.#notBeforeMs) this.#run();
    else this.#frame = requestAnimationFrame(() => this.#onFrame());
  }

  #run(): void {
    this.#cancel();
    const startMs = performance.now();
    this.#work();
    // React commits external-store changes in a microtask queued before this one: its time is counted too.
    queueMicrotask(() => {
      const nowMs = performance.now();
      const costMs = nowMs - startMs;
      this.#notBeforeMs = costMs > 8 ? nowMs + 2 * costMs : 0;
    });
  }

  #cancel(): void {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#frame = null;
    this.#timer = null;
  }
}
