import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, writeFileSync } from "node:fs";
import type { AccountLimits } from "./account-limits.ts";
import { ID_COUNT } from "./id-map-size.ts";
import { KeeperError } from "./keeper-error.ts";
import { RUNTIME_ENV } from "./oci-command.ts";

/** Below the first account's range: no process of a sandbox has it, so what fails for it fails for everybody. */
const NOBODYS_ID = 0x6fff_0000;

/** A user namespace lives as long as a process or a descriptor is in it: a helper enters one, we keep the descriptor. */
export function makeUserNamespace(idMap: string): Promise<number> {
  return makeWith(["unshare", "--user"], idMap);
}

/**
 * The user namespace of an account's sandboxes. The kernel counts inotify instances, queued signals, message queues and
 * processes at the uid that made a namespace: made as the account's own host id, they are nobody else's. The maker's
 * rlimits bind their sum. Undefined where the kernel lets only root make user namespaces: then all accounts share root's.
 */
export async function makeAccountNamespace(hostIdBase: number, limits: AccountLimits): Promise<number | undefined> {
  const idMap = `0 ${hostIdBase} ${ID_COUNT}\n`;
  try {
    return await makeOwned(hostIdBase, idMap, limits);
  } catch (error) {
    // A passing failure (no descriptor, no process to be had) must not put an account on root's counters.
    if (await canMakeOwned()) {
      const why = error instanceof Error ? error.message : String(error);
      throw new KeeperError("resource_exhausted", `The account's user namespace could not be made: ${why}`);
    }
    return undefined;
  }
}

/** Whether an unprivileged user may make user namespaces here. */
export async function canMakeOwned(): Promise<boolean> {
  try {
    closeSync(await makeWith(["unshare", "--user"], `0 ${NOBODYS_ID} 1\n`, NOBODYS_ID));
    return true;
  } catch {
    // Forbidden by a sysctl or a security module: an answer.
    return false;
  }
}

async function makeOwned(owner: number, idMap: string, limits: AccountLimits): Promise<number> {
  const bounds = [
    `--sigpending=${limits.pendingSignals}`,
    `--msgqueue=${limits.messageQueueBytes}`,
    `--nproc=${limits.processes}`,
  ];
  const fd = await makeWith(["prlimit", ...bounds, "unshare", "--user"], idMap, owner);
  try {
    await setInotifyLimits(fd, limits);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** The namespace's own settings, written from outside by root: inside they are read-only. */
async function setInotifyLimits(fd: number, limits: AccountLimits): Promise<void> {
  const script = `echo ${limits.inotifyInstances} >/proc/sys/user/max_inotify_instances
    echo ${limits.inotifyWatches} >/proc/sys/user/max_inotify_watches`;
  const child = spawn("nsenter", [`--user=/proc/${process.pid}/fd/${fd}`, "sh", "-c", script], {
    stdio: "ignore",
    env: RUNTIME_ENV,
  });
  // A machine whose /proc/sys cannot be written still counts per account, with the machine's own bounds.
  await once(child, "exit");
}

async function makeWith(command: string[], idMap: string, owner?: number): Promise<number> {
  const [program = "", ...args] = command;
  const helper = spawn(program, [...args, "sh", "-c", "echo in; read -r _"], {
    stdio: ["pipe", "pipe", "ignore"],
    env: RUNTIME_ENV,
    cwd: "/",
    ...(owner === undefined ? {} : { uid: owner, gid: owner }),
  });
  const exited = once(helper, "exit");
  // A helper that could not be started (no process, no descriptor left) says so here, and may have no pipes at all.
  if (helper.pid === undefined) await exited;
  try {
    const ready = await Promise.race([once(helper.stdout, "data"), exited.then(() => undefined)]);
    if (ready === undefined) throw new Error("The kernel refuses to make a user namespace (unshare --user failed).");
    writeFileSync(`/proc/${helper.pid}/uid_map`, idMap);
    writeFileSync(`/proc/${helper.pid}/gid_map`, idMap);
    return openSync(`/proc/${helper.pid}/ns/user`, "r");
  } finally {
    helper.stdin.on("error", () => {
      // The helper has gone already; nothing more to tell it.
    });
    helper.stdin.end("\n");
    await exited;
  }
}
