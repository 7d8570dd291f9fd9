/**
 * Idle timers: a sandbox is active while an exec runs, and when its stdin is written. After `timeoutMs` without either,
 * `onIdle` is called once.
 */
export interface IdleWatch extends Disposable {
  execStarted(execId: string): void;
  execEnded(execId: string): void;
  touched(): void;
}

export function watchIdle(timeoutMs: number, onIdle: () => void): IdleWatch {
  const running = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let over = false;
  const arm = () => {
    clearTimeout(timer);
    if (over || running.size > 0) return;
    timer = setTimeout(() => {
      over = true;
      onIdle();
    }, timeoutMs);
  };
  arm();
  return {
    execStarted: (execId) => {
      running.add(execId);
      arm();
    },
    execEnded: (execId) => {
      if (running.delete(execId)) arm();
    },
    touched: arm,
    [Symbol.dispose]: () => {
      over = true;
      clearTimeout(timer);
    },
  };
}
