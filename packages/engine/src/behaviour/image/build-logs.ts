import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { isNoRoom } from "../../disk-reserve.ts";

/** The log of every build: one file per image, followed live. */
export interface BuildLogs {
  append(imageId: string, line: string): void;
  end(imageId: string): void;
  remove(imageId: string): void;
  /** Lines from `after` on (a count), without waiting. */
  read(imageId: string, after: number): string[];
  /** Resolves at the next line or end of that build, or when the signal aborts. */
  changed(imageId: string, signal: AbortSignal): Promise<void>;
}

/** A build that says more keeps only the beginning of it. */
const maxLogBytes = 8 * 1024 * 1024;

/** `onLine` is the caller's hook, beside the file. */
export function createBuildLogs(dataDir: string, onLine?: (imageId: string, line: string) => void): BuildLogs {
  const dir = join(dataDir, "images", "logs");
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = (imageId: string) => join(dir, `${imageId}.log`);
  const waiting = new Map<string, Set<() => void>>();
  const wake = (imageId: string) => {
    for (const resume of waiting.get(imageId) ?? []) resume();
  };
  const sizes = new Map<string, number>();
  const write = (imageId: string, line: string) => {
    const size = sizes.get(imageId) ?? statSync(file(imageId), { throwIfNoEntry: false })?.size ?? 0;
    if (size > maxLogBytes) return;
    const whole = size + line.length <= maxLogBytes;
    const text = whole ? `${line}\n` : "… the rest of this build's output is not kept\n";
    try {
      appendFileSync(file(imageId), text, { mode: 0o600 });
      sizes.set(imageId, whole ? size + Buffer.byteLength(text) : maxLogBytes + 1);
    } catch (error) {
      // The line is lost, the build goes on: it will say itself when it has no room.
      if (!isNoRoom(error)) throw error;
    }
  };
  return {
    append: (imageId, line) => {
      write(imageId, line);
      onLine?.(imageId, line);
      wake(imageId);
    },
    end: (imageId) => {
      sizes.delete(imageId);
      wake(imageId);
    },
    remove: (imageId) => rmSync(file(imageId), { force: true }),
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
