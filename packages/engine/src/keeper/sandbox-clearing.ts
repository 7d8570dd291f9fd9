import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { removeCgroup } from "./cgroup.ts";
import type { Children } from "./children.ts";
import type { EndingStep } from "./ending.ts";
import type { OciCommand } from "./oci-command.ts";
import type { Layout, SandboxPaths } from "./paths.ts";
import { detachAll } from "./root-fs.ts";
import type { SandboxDisk } from "./sandbox-disk.ts";
import type { SandboxProcess } from "./sandbox-process.ts";
import type { Trash } from "./trash.ts";

const KILL_DEADLINE_MS = 5_000;
/** Init normally ends within a millisecond; then something unreaped may hold it. */
const SWEEP_AFTER_MS = 50;
const SWEEP_ALL_AFTER_MS = 1_000;
const DELETE_TIMEOUT_MS = 10_000;

export interface Clearing {
  id: string;
  paths: SandboxPaths;
  cgroup: string;
  /** For when its cgroup is gone. */
  leaveAccount: () => void;
  layout: Layout;
  oci: OciCommand;
  children: Children;
  trash: Trash;
  disk: SandboxDisk;
  /** Of overlayfs; empty when its root was never assembled. */
  workDir: string;
  /** Its first process, when this keeper started it. */
  main: SandboxProcess | undefined;
}

/** All that takes a sandbox off the machine but for its spools, in the order in which it goes best. */
export function clearingSteps(of: Clearing): EndingStep[] {
  const { paths, trash } = of;
  const dead = { inRuntime: false, inCgroup: false };
  const discard = (name: string, path: string) => ({ name: `removing ${name}`, run: () => trash.discard(path) });
  return [
    { name: "killing its processes", run: () => killInit(of) },
    {
      name: "deleting it in the runtime",
      run: async () => {
        await deleteInRuntime(of);
        dead.inRuntime = true;
      },
    },
    {
      name: "removing its cgroup",
      run: async () => {
        dead.inCgroup = await removeCgroup(of.cgroup);
      },
    },
    { name: "leaving its account's cgroup", run: of.leaveAccount },
    {
      name: "removing the runtime's record",
      run: () => {
        // By it the sandbox is found again, until nothing of it can run any more.
        const known = dead.inRuntime || dead.inCgroup || of.main?.exit !== undefined;
        if (!known) throw new Error("something of the sandbox may still run");
        rmSync(join(of.layout.ociState, of.id), { recursive: true, force: true });
      },
    },
    { name: "detaching its mounts", run: () => detachAll(paths, { keepRoot: false }) },
    { name: "letting go of its disk", run: () => of.disk.close() },
    ...(of.workDir === "" ? [] : [discard("overlayfs's directory", of.workDir)]),
    discard("its files", paths.data),
    discard("its bundle", paths.bundle),
  ];
}

/** The end of a PID namespace's init is the end of every process in it. */
async function killInit({ main, children }: Clearing): Promise<void> {
  if (main === undefined || main.pid <= 0 || main.exit !== undefined) return;
  main.kill(9);
  const started = performance.now();
  while (main.exit === undefined && performance.now() - started < KILL_DEADLINE_MS) {
    await delay(2);
    const waited = performance.now() - started;
    if (waited > SWEEP_AFTER_MS) children.sweep({ all: waited > SWEEP_ALL_AFTER_MS });
  }
  if (main.exit === undefined) throw new Error(`its first process did not end within ${KILL_DEADLINE_MS} ms`);
}

async function deleteInRuntime({ id, oci, paths }: Clearing): Promise<void> {
  const { code, message } = await oci.run({
    args: ["delete", "--force", id],
    log: paths.runtimeLog,
    stdio: ["ignore", "ignore", "ignore"],
    timeoutMs: DELETE_TIMEOUT_MS,
  });
  // With --force a sandbox that the runtime does not know is no error.
  if (code !== 0) throw new Error(message || `the runtime ended with code ${code}`);
}
