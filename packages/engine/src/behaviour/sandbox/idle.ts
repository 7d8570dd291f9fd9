import { startTimer, type Timer } from "@holdfast/std";

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
  let timer: Timer | undefined;
  let over = false;
  const arm = () => {
    timer?.[Symbol.dispose]();
    if (over || running.size > 0) return;
    timer = startTimer(timeoutMs, () => {
      over = true;
      onIdle();
    });
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
      timer?.[Symbol.dispose]();
    },
  };
}
