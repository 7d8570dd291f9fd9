import type { FileHandle } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type FileCalls, realFiles } from "../src/server/store/files.ts";

type Step = "write" | "sync" | "close" | "rename";

export interface RecordedFiles extends FileCalls {
  /** `write begins`, `write ends`, `sync begins`, `sync ends`, `close`, `rename`, `open`, in the order they happened. */
  readonly calls: string[];
  /** The next such call does nothing and fails. */
  failNext(step: Step, errno: string): void;
}

/** The real files, with a record of what was done to them. */
export function recordedFiles(options: { slowWrites?: boolean; shortWrites?: boolean }): RecordedFiles {
  const calls: string[] = [];
  let failing: { step: Step; errno: string } | undefined;
  const failed = (step: Step): void => {
    if (failing?.step !== step) return;
    const { errno } = failing;
    failing = undefined;
    throw Object.assign(new Error(`${errno}: made to fail, ${step}`), { code: errno });
  };
  const writing = async <T>(write: () => Promise<T>): Promise<T> => {
    calls.push("write begins");
    for (let turns = options.slowWrites ? 5 : 0; turns > 0; turns--) await nextTurn();
    failed("write");
    const result = await write();
    calls.push("write ends");
    return result;
  };
  const recorded = (handle: FileHandle): FileHandle =>
    new Proxy(handle, {
      get(target, name) {
        if (name === "writev")
          return (buffers: Uint8Array[]) =>
            writing(async () => {
              const [first] = buffers;
              if (!options.shortWrites || !first) return target.writev(buffers);
              return target.write(first, 0, Math.max(1, first.length >> 1));
            });
        if (name === "write")
          return (bytes: Uint8Array, offset: number, length: number, position: number) =>
            writing(() => target.write(bytes, offset, options.shortWrites ? Math.ceil(length / 2) : length, position));
        if (name === "datasync")
          return async () => {
            calls.push("sync begins");
            failed("sync");
            await target.datasync();
            calls.push("sync ends");
          };
        if (name === "close")
          return async () => {
            calls.push("close");
            await target.close();
            failed("close");
          };
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  return {
    calls,
    failNext: (step, errno) => {
      failing = { step, errno };
    },
    open: async (path, flags, mode) => {
      calls.push("open");
      return recorded(await realFiles.open(path, flags, mode));
    },
    rename: async (from, to) => {
      failed("rename");
      await realFiles.rename(from, to);
      calls.push("rename");
    },
    link: realFiles.link,
  };
}
