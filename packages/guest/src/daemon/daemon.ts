import { chmodSync, linkSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { guardProcess } from "@holdfast/std";
import { closeInheritedDescriptors } from "../descriptors.ts";
import { errnoOf, exitCodes, Failure } from "../failure.ts";
import { type RunPaths, runPaths } from "../run-paths.ts";
import { Connection } from "./connection.ts";
import { Host } from "./host.ts";
import { defaultSpoolLimitBytes } from "./hosted-process.ts";

type Log = (message: string, fields?: Record<string, unknown>) => void;

/** Runs until SIGTERM or SIGINT. Throws a Failure when another one serves this folder already. */
export async function runDaemon(options: { runDir: string; spoolLimitBytes?: number; log: Log }): Promise<void> {
  const { log } = options;
  closeInheritedDescriptors();
  // The umask of children: theirs, not ours; our own files name their modes.
  process.umask(0o022);
  process.chdir("/");
  const paths = runPaths(options.runDir);
  prepareFolder(paths);
  const lock = await takeLock(paths);
  await using host = new Host(paths, { spoolLimitBytes: options.spoolLimitBytes ?? defaultSpoolLimitBytes });
  const server = createServer((socket) => new Connection(socket, host));
  rmSync(paths.socket, { force: true });
  await listen(server, paths.socket);
  chmodSync(paths.socket, 0o600);
  // One broken connection or file must not end every session of the sandbox.
  guardProcess(process, {
    name: "guest",
    uncaught: "go on",
    log: ({ kind, error: { message, stack } }) => log("unexpected error", { fault: kind, error: message, stack }),
  });
  log("ready", { pid: process.pid, socket: paths.socket, processes: host.describe().length });
  const signal = await stopSignal();
  log("stopping", { signal });
  server.close();
  lock.close();
}

function prepareFolder(paths: RunPaths): void {
  mkdirSync(paths.runDir, { recursive: true, mode: 0o700 });
  const stat = lstatSync(paths.runDir);
  if (!stat.isDirectory() || stat.uid !== process.getuid?.()) {
    throw new Failure({
      code: "run_dir_refused",
      message: `${paths.runDir} is not a directory of the user that runs the guest`,
      remedy: "Remove it and start again.",
      exitCode: exitCodes.software,
    });
  }
  chmodSync(paths.runDir, 0o700);
  mkdirSync(paths.spool, { recursive: true, mode: 0o700 });
}

/**
 * One daemon per folder: the kernel gives an abstract socket's name to one process and takes it back at its death,
 * however it dies. The name is random and in a file of root's, so that nobody else can take it beforehand.
 */
async function takeLock(paths: RunPaths): Promise<Server> {
  const lock = createServer((socket) => socket.destroy());
  try {
    await listen(lock, `\u0000holdfast-guest-${lockName(paths)}`);
    return lock;
  } catch (error) {
    if (errnoOf(error) !== "EADDRINUSE") throw error;
    throw new Failure({
      code: "already_running",
      message: `a guest daemon already serves ${paths.runDir}`,
      remedy: `Talk to it at ${paths.socket}.`,
      exitCode: exitCodes.failed,
    });
  }
}

function lockName(paths: RunPaths): string {
  const own = `${paths.lockName}.${process.pid}`;
  writeFileSync(own, Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex"), { mode: 0o600 });
  try {
    // A link appears with its content, or fails when there is one already.
    linkSync(own, paths.lockName);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  } finally {
    rmSync(own);
  }
  return readFileSync(paths.lockName, "utf8");
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
}

function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
    // A closed terminal or exec is no reason to end.
    process.on("SIGHUP", () => undefined);
  });
}
