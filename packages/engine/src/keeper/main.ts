import { closeSync, existsSync, mkdirSync, openSync, rmdirSync, rmSync, writeSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { guardProcess, inBackground } from "@holdfast/std";
import { Disks } from "../disk/disks.ts";
import { placeBelow } from "../disk/image.ts";
import { probeDisk } from "../disk/probe.ts";
import type { Reserves } from "../disk/shortage.ts";
import type { DiskKind, DiskLimit } from "../disk/types.ts";
import { LineLog } from "../log-line.ts";
import { type AccountLimits, accountLimits } from "./account-limits.ts";
import { cgroupsWritable, leaveOutUnified } from "./cgroup.ts";
import { runSteps } from "./ending.ts";
import { Keeper } from "./keeper.ts";
import { MachineWatch } from "./machine-watch.ts";
import { OciCommand } from "./oci-command.ts";
import { type Layout, layoutOf } from "./paths.ts";
import { KeeperServer } from "./server.ts";
import { becomeSubreaper, MS_NODEV, MS_NOSUID, mount, tryLock, unmountDetach } from "./syscalls.ts";

/**
 * The keeper's process. It runs in a mount namespace of its own, holds pipes and terminals of every sandbox, and
 * lives until it is told to shut down, whatever happens to the engine.
 */

const VANISHED_CHECK_MS = 5_000;
/** The keeper lives for months: its log begins anew where it would grow beyond this. */
const MAX_LOG_BYTES = 4_000_000;

export interface KeeperArguments {
  stateDir: string;
  instance: string;
  runtime: { binary: string; kind: string; version: string };
  /** Where they differ from the machine's own. */
  accountLimits?: Partial<AccountLimits>;
  /** What of disk and memory is kept free; what is absent goes by the machine. */
  reserves?: Reserves;
  /** How disk is limited; absent from an engine that knows nothing of it. */
  disk?: { quota: DiskKind | "auto"; convertUpTo: DiskLimit };
}

/** The one line that the keeper prints. */
export interface KeeperReport {
  ready: boolean;
  pid?: number;
  /** Another keeper has the state directory. */
  held?: boolean;
  error?: string;
}

const lines = new LineLog(2, { maxBytes: MAX_LOG_BYTES });

function log(level: "info" | "warn" | "error", message: string): void {
  lines.write(JSON.stringify({ time: new Date().toISOString(), level, msg: message }));
}

/** One line on stdout, after which nobody reads it any more. */
function report(line: KeeperReport): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

function preparePrivateDir(layout: Layout): void {
  mkdirSync(layout.privateDir, { recursive: true, mode: 0o711 });
  mount({
    source: "tmpfs",
    target: layout.privateDir,
    type: "tmpfs",
    flags: MS_NOSUID | MS_NODEV,
    data: "mode=0711,size=64m",
  });
  for (const name of ["s", "l", "cg", "v"]) mkdirSync(`${layout.privateDir}/${name}`, { mode: 0o711 });
}

async function run(options: KeeperArguments): Promise<void> {
  const layout = layoutOf(options.stateDir, options.instance);
  const lockFd = openSync(layout.lock, "a", 0o600);
  if (!tryLock(lockFd)) {
    report({ ready: false, held: true });
    return;
  }
  process.umask(0o022);
  becomeSubreaper();
  preparePrivateDir(layout);
  leaveOutUnified(`${layout.privateDir}/cg`);
  const cgroups = cgroupsWritable(layout.cgroupParent);
  if (!cgroups) log("warn", "No cgroups can be made here: sandboxes run without limits.");
  rmSync(layout.socket, { force: true });
  const disk = await probeDisk(options.stateDir, options.disk?.quota ?? "soft");

  const server: KeeperServer = new KeeperServer({
    socketPath: layout.socket,
    handle: (request, payload) => keeper.handle(request, payload),
    warn: (message) => log("warn", message),
  });
  const keeper = new Keeper({
    layout,
    oci: new OciCommand({ ...options.runtime, root: layout.ociState, cgroups }),
    kind: options.runtime.kind,
    limits: { ...accountLimits(), ...options.accountLimits },
    disk,
    disks: new Disks({
      kind: disk.kind,
      spareDir: layout.spare,
      place: placeBelow(`${layout.privateDir}/v`),
      convertUpTo: options.disk?.convertUpTo ?? { bytes: 0, inodes: 0 },
      warn: (message) => log("warn", message),
    }),
    watch: new MachineWatch({
      directory: layout.stateDir,
      reserves: options.reserves ?? {},
      warn: (message) => log("warn", message),
    }),
    runtime: options.runtime.version,
    emit: (event) => server.emit(event),
    warn: (message) => log("warn", message),
    onShutdown: () => leave(),
  });
  const leave = async (): Promise<void> => {
    clearInterval(vanished);
    const { privateDir, socket } = layout;
    await runSteps(
      [
        { name: "removing the socket", run: () => rmSync(socket, { force: true }) },
        { name: "detaching the private directory", run: () => unmountDetach(privateDir) },
        { name: "removing the private directory", run: () => rmdirSync(privateDir) },
      ],
      (message) => log("warn", message),
    );
    // The reply to `shutdown` still has to be written; connections end after it, then the process.
    setImmediate(() => {
      server.close(() => {
        closeSync(lockFd);
        process.exit(0);
      });
    });
  };
  const vanished = setInterval(() => {
    if (existsSync(layout.sandboxes)) return;
    inBackground(keeper.shutdown(), (error) => log("warn", `The shutdown failed: ${String(error)}`));
  }, VANISHED_CHECK_MS);
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(signal, () => log("info", `${signal} is ignored; ask for a shutdown through the socket.`));
  }
  keeper.recover();
  await server.listen();
  log("info", `keeper ready, ${options.runtime.version}`);
  flushCompileCache();
  report({ ready: true, pid: process.pid });
}

// Its end would be the end of every account's sandboxes: nothing that one of them causes may bring it about.
guardProcess(process, {
  name: "keeper",
  uncaught: "go on",
  log: ({ kind, error }) => log("error", `${kind}: ${error.stack ?? error.message}`),
});
try {
  await run(JSON.parse(process.argv[2] ?? "{}") as KeeperArguments);
} catch (error) {
  log("warn", error instanceof Error ? (error.stack ?? error.message) : String(error));
  report({ ready: false, error: error instanceof Error ? error.message : String(error) });
  process.exit(1);
}
