import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { sleep, withDeadline } from "@holdfast/std";
import { smallProcessEnvironment, smallProcessFlags } from "./daemon/memory.ts";
import { errnoOf, exitCodes, Failure, messageOf } from "./failure.ts";
import { encodeFrame, FrameDecoder, type GuestMessage, type GuestRequest, guestProtocolVersion } from "./frames.ts";
import { runPaths } from "./run-paths.ts";

export interface DaemonPlace {
  readonly runDir: string;
  /** This program's own file: the daemon runs from it. */
  readonly script: string;
}

const readyMs = 10_000;
const pollMs = 20;

/** A connection to the daemon, which is started when it does not run. Its `hello` has not been read yet. */
export async function connectToDaemon(options: DaemonPlace): Promise<Socket> {
  const { log, socket } = runPaths(options.runDir);
  try {
    return await withDeadline((signal) => ensureDaemon(options, signal), {
      what: "starting the guest daemon",
      timeoutMs: readyMs,
    });
  } catch (error) {
    const last = existsSync(log) ? readFileSync(log, "utf8").trimEnd().slice(-500) : "";
    throw new Failure({
      code: "daemon_not_ready",
      message: `no guest daemon answers at ${socket}: ${messageOf(error)}${last === "" ? "" : `; it said: ${last}`}`,
      remedy: "Start again; if it fails again, start a new sandbox.",
      exitCode: exitCodes.failed,
      cause: error,
    });
  }
}

async function ensureDaemon(options: DaemonPlace, signal: AbortSignal): Promise<Socket> {
  const path = runPaths(options.runDir).socket;
  let daemon: ChildProcess | undefined;
  for (;;) {
    const socket = await tryConnect(path);
    if (socket !== undefined) return socket;
    // Another `start` may have won: the daemon that comes second ends by itself. Should the first one then die, a
    // third is needed.
    if (daemon === undefined || daemon.exitCode !== null) daemon = spawnDaemon(options);
    await sleep(pollMs, signal);
  }
}

function spawnDaemon(options: DaemonPlace): ChildProcess {
  const paths = runPaths(options.runDir);
  mkdirSync(paths.runDir, { recursive: true, mode: 0o700 });
  const log = openSync(paths.log, "a", 0o600);
  try {
    const daemon = spawn(
      process.execPath,
      [...smallProcessFlags, options.script, "daemon", "--run-dir", options.runDir],
      {
        cwd: "/",
        // Nothing of ours: it may hold the secrets of one session.
        env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...smallProcessEnvironment },
        stdio: ["ignore", log, log],
        detached: true,
      },
    );
    daemon.unref();
    daemon.on("error", () => undefined);
    return daemon;
  } finally {
    closeSync(log);
  }
}

function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", (error) => {
      if (["ENOENT", "ECONNREFUSED"].includes(errnoOf(error) ?? "")) resolve(undefined);
      else reject(error);
    });
  });
}

/** One request and its answer. Throws a Failure when the daemon refuses. */
export function askDaemon(socket: Socket, message: GuestRequest): Promise<Extract<GuestMessage, { type: "reply" }>> {
  return new Promise((resolve, reject) => {
    const decoder = new FrameDecoder<GuestMessage>();
    socket.on("data", (data) => {
      try {
        for (const { header } of decoder.push(data)) {
          if (header.type === "hello") {
            checkVersion(header.version);
            socket.write(encodeFrame(message));
          } else if (header.type === "reply" && header.ok) resolve(header);
          else if (header.type === "reply") reject(refusal(header.code, header.message, header.generation));
        }
      } catch (error) {
        reject(error);
      }
    });
    socket.once("error", (error) => reject(refusal("daemon_lost", messageOf(error))));
    socket.once("close", () => reject(refusal("daemon_lost", "the guest daemon closed the connection")));
  });
}

function checkVersion(version: number): void {
  if (version === guestProtocolVersion) return;
  throw refusal("version", `the daemon speaks version ${version}, this program ${guestProtocolVersion}`);
}

const remedies: Record<string, string> = {
  already_running: "End the session's running process first.",
  stale_generation: "Another server has taken over this session; leave it alone.",
  too_many_terminals: "End one of them.",
  spool_full: "Free space in the sandbox, or start a new one.",
  spawn_failed: "Look at the command and the working directory.",
  version: "Start a new sandbox from the current image.",
};

function refusal(code: string, message: string, generation?: number): Failure {
  const remedy = remedies[code] ?? "Start again; if it fails again, start a new sandbox.";
  return new Failure({
    code,
    message,
    remedy,
    ...(generation === undefined ? {} : { facts: { generation } }),
    exitCode: code === "stale_generation" ? exitCodes.stale : exitCodes.failed,
  });
}
