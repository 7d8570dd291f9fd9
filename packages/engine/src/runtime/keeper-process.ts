import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { getCompileCacheDir } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { AccountLimits } from "../keeper/account-limits.ts";
import type { KeeperArguments, KeeperReport } from "../keeper/main.ts";
import { RUNTIME_ENV } from "../keeper/oci-command.ts";
import type { Layout } from "../keeper/paths.ts";
import type { OutputLimits } from "../keeper/protocol.ts";
import { ConnectionLostError, KeeperClient } from "./keeper-client.ts";
import type { FoundRuntime } from "./oci-runtime-choice.ts";
import { RuntimeError } from "./types.ts";

const START_TIMEOUT_MS = 60_000;
const HELD_PAUSE_MS = 100;
const KEEPER_MAIN = fileURLToPath(new URL("../keeper/main.ts", import.meta.url));

export interface KeeperLocation {
  layout: Layout;
  instance: string;
  runtime: FoundRuntime;
  disk?: KeeperArguments["disk"];
  reserves?: KeeperArguments["reserves"];
  accountLimits?: Partial<AccountLimits>;
  /** Told to the keeper, whoever started it. */
  output: OutputLimits;
}

/** Connects to the living keeper, or starts one. */
export async function reachKeeper(location: KeeperLocation): Promise<{ client: KeeperClient; started: boolean }> {
  const socketPath = location.layout.socket;
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return { client: await KeeperClient.connect(socketPath, location.output), started: false };
    } catch (error) {
      if (!isAbsent(error) && !isLeaving(error)) throw error;
      if (isAbsent(error) && !(await startKeeper(location)))
        return { client: await KeeperClient.connect(socketPath, location.output), started: true };
    }
    // A keeper lives but does not listen yet, or no more: it is cleaning up after one before it, or is just leaving.
    if (performance.now() > deadline) {
      throw new RuntimeError("unavailable", `A keeper holds ${location.layout.lock} but does not answer.`);
    }
    await delay(HELD_PAUSE_MS);
  }
}

/** A process of its own session and mount namespace, which no death of ours reaches. True when another one is there. */
async function startKeeper({
  layout,
  instance,
  runtime,
  accountLimits,
  disk,
  reserves,
}: KeeperLocation): Promise<boolean> {
  const log = openSync(layout.log, "a", 0o600);
  try {
    const options = JSON.stringify({ stateDir: layout.stateDir, instance, runtime, accountLimits, disk, reserves });
    // As egress: the TypeScript compiler would stay in memory.
    const compiled = getCompileCacheDir() ?? join(layout.stateDir, "compile-cache");
    const child = spawn(
      "unshare",
      // `slave`: network namespaces and disks mounted on the host later are seen; nothing of ours goes out.
      ["--mount", "--propagation", "slave", "--", process.execPath, KEEPER_MAIN, options],
      {
        detached: true,
        stdio: ["ignore", "pipe", log],
        env: { ...RUNTIME_ENV, NODE_COMPILE_CACHE: compiled },
        cwd: "/",
      },
    );
    const timer = setTimeout(() => child.kill("SIGKILL"), START_TIMEOUT_MS);
    try {
      const { stdout } = child;
      if (stdout === null) throw new RuntimeError("unavailable", "The keeper could not be spawned.");
      const line = await firstLine(stdout, child);
      stdout.destroy();
      const answer = line === undefined ? undefined : (JSON.parse(line) as KeeperReport);
      if (answer?.held === true) return true;
      if (answer?.ready !== true) {
        throw new RuntimeError(
          "unavailable",
          `The keeper did not start: ${answer?.error ?? "it ended without a word"}. Its log is ${layout.log}.`,
        );
      }
      return false;
    } finally {
      clearTimeout(timer);
      child.unref();
    }
  } finally {
    closeSync(log);
  }
}

function firstLine(stream: NodeJS.ReadableStream, child: NodeJS.EventEmitter): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: stream });
    lines.once("line", resolve);
    lines.once("close", () => resolve(undefined));
    child.once("error", reject);
  });
}

function isAbsent(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ECONNREFUSED";
}

/** It took the connection and said nothing: a process that is killed closes what it listens on last. */
function isLeaving(error: unknown): boolean {
  if (error instanceof RuntimeError) return error instanceof ConnectionLostError;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ECONNRESET" || code === "EPIPE";
}
