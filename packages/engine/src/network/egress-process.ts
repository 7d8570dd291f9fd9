import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, readFileSync, rmSync } from "node:fs";
import { getCompileCacheDir } from "node:module";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { NetworkError } from "./network-error.ts";

const program = fileURLToPath(new URL("./egress/main.ts", import.meta.url));
const startMs = 20_000;
const maxLogBytes = 1_000_000;
const endMs = 5_000;

const pidFile = (directory: string) => join(directory, "egress.pid");
const logFile = (directory: string) => join(directory, "egress.log");

/** Starts an egress that outlives this process; resolves when it listens. */
export async function startEgress(directory: string, routerPath: string): Promise<void> {
  // What the one before said at its end stays, within bounds.
  const log = openSync(logFile(directory), "a", 0o600);
  if (fstatSync(log).size > maxLogBytes) ftruncateSync(log);
  const child = spawn(process.execPath, [program, directory, routerPath], {
    cwd: "/",
    // Spares every start but the first the TypeScript compiler, which would stay in memory (27 MB).
    env: { NODE_COMPILE_CACHE: getCompileCacheDir() ?? join(directory, "compile-cache") },
    detached: true,
    stdio: ["ignore", "pipe", log],
  });
  closeSync(log);
  try {
    if (child.stdout === null) throw new Error("It has no stdout.");
    await readyLine(child, child.stdout, () => lastWords(directory));
  } catch (cause) {
    child.kill("SIGKILL");
    throw new NetworkError({
      what: "Egress, the process that carries the sandboxes' connections, did not start.",
      why: cause instanceof Error ? cause.message : String(cause),
      todo: `See ${logFile(directory)}.`,
      cause,
    });
  } finally {
    child.stdout?.destroy();
    child.unref();
  }
}

async function readyLine(child: ChildProcess, stdout: Readable, lastWords: () => string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error(`It was not ready within ${startMs} ms.`)), startMs);
  const onExit = (code: number | null, signal: string | null) =>
    reject(new Error(`It ended with ${signal ?? code}: ${lastWords()}`));
  child.once("error", reject).once("exit", onExit);
  stdout.once("data", () => resolve());
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    child.off("exit", onExit);
  }
}

function lastWords(directory: string): string {
  const text = readFileSync(logFile(directory), "utf8");
  return /^.*Error: .*$/gm.exec(text.slice(-5_000))?.[0] ?? text.slice(-500);
}

/** The recorded egress process, if it still is one of this directory. */
export function egressPid(directory: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidFile(directory), "utf8"));
    const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    // Pids are reused: only a process that says so itself is taken for ours.
    return args.some((arg) => arg.endsWith("/network/egress/main.ts")) && args.includes(directory) ? pid : undefined;
  } catch {
    // No record, or no such process.
    return undefined;
  }
}

/** Removes what an egress that has ended left in its directory. */
export function removeEgressFiles(directory: string): void {
  for (const name of ["egress.pid", "egress.sock", "egress.log", "compile-cache"]) {
    rmSync(join(directory, name), { recursive: true, force: true });
  }
}

/** Ends the egress of a directory, if there is one, and waits until it is gone. */
export async function endEgress(directory: string): Promise<void> {
  const pid = egressPid(directory);
  if (pid !== undefined) {
    const deadline = performance.now() + endMs;
    process.kill(pid, "SIGKILL");
    while (isRunning(pid)) {
      if (performance.now() > deadline) throw new Error(`Egress (pid ${pid}) does not end.`);
      await delay(2);
    }
  }
  rmSync(pidFile(directory), { force: true });
  rmSync(join(directory, "egress.sock"), { force: true });
}

function isRunning(pid: number): boolean {
  if (!existsSync(`/proc/${pid}`)) return false;
  try {
    // A zombie holds nothing any more.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    // Gone between the two looks.
    return false;
  }
}
