import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The log of every build: one file per image, followed live. */
export interface BuildLogs {
  append(imageId: string, line: string): void;
  end(imageId: string): void;
  /** Lines from `after` on (a count), without waiting. */
  read(imageId: string, after: number): string[];
  /** Resolves at the next line or end of that build, or when the signal aborts. */
  changed(imageId: string, signal: AbortSignal): Promise<void>;
}

/** `onLine` is the caller's hook, beside the file. */
export function createBuildLogs(dataDir: string, onLine?: (imageId: string, line: string) => void): BuildLogs {
  const dir = join(dataDir, "images", "logs");
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = (imageId: string) => join(dir, `${imageId}.log`);
  const waiting = new Map<string, Set<() => void>>();
  const wake = (imageId: string) => {
    for (const resume of waiting.get(imageId) ?? []) resume();
  };
  return {
    append: (imageId, line) => {
      appendFileSync(file(imageId), `${line}\n`, { mode: 0o600 });
      onLine?.(imageId, line);
      wake(imageId);
    },
    end: wake,
    read: (imageId, after) => {
      if (!existsSync(file(imageId))) return [];
      return readFileSync(file(imageId), "utf8").split("\n").slice(0, -1).slice(after);
    },
    changed: (imageId, signal) =>
      new Promise((resolve) => {
        const set = waiting.get(imageId) ?? new Set();
        waiting.set(imageId, set);
        const done = () => {
          set.delete(done);
          if (set.size === 0) waiting.delete(imageId);
          signal.removeEventListener("abort", done);
          resolve();
        };
        set.add(done);
        signal.addEventListener("abort", done, { once: true });
        if (signal.aborted) done();
      }),
  };
}
