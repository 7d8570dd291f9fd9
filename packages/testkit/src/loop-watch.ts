import { evaluateIn } from "./fault.ts";

/** For how long a running process's event loop was kept at once by its own computing. */
export interface LoopWatch {
  /** In milliseconds, since the last time that it was asked or the watch began. */
  longestMs(): Promise<number>;
}

/** Watches any running Node process of this machine; the watch ends with it. As `loop-probe.ts`, which needs a start. */
export async function watchLoop(pid: number): Promise<LoopWatch> {
  await evaluateIn(pid, `(${install.toString()})(); 1`);
  return { longestMs: async () => Number(await evaluateIn(pid, "globalThis.holdfastLoop()")) };
}

/** Runs there: uses nothing of this file. */
function install(): void {
  const cpuMs = () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let longest = 0;
  let before = cpuMs();
  const look = () => {
    const now = cpuMs();
    longest = Math.max(longest, now - before);
    before = now;
  };
  setInterval(look, 10).unref();
  Object.assign(globalThis, {
    holdfastLoop: () => {
      look();
      const seen = longest;
      longest = 0;
      return seen;
    },
  });
}
