/**
 * Loaded into a server's process ahead of it (`node --import`): every call on which an acknowledgement rests is noted,
 * in its order, in the file that HOLDFAST_TEST_DISK_LOG names; writes are as slow as HOLDFAST_TEST_WRITE_MS says.
 */
import { appendFileSync, fstatSync, statSync } from "node:fs";
import files, { type FileHandle, open } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { setTimeout as delay } from "node:timers/promises";

/** One line of the log. */
export type DiskEvent =
  | { readonly what: "write" | "sync"; readonly state: "begins" | "ends"; readonly inode: number }
  | { readonly what: "named" | "made"; readonly path: string; readonly inode: number };

const logFile = process.env.HOLDFAST_TEST_DISK_LOG;
const writeMs = Number(process.env.HOLDFAST_TEST_WRITE_MS ?? 0);

function note(event: DiskEvent): void {
  if (logFile !== undefined) appendFileSync(logFile, `${JSON.stringify(event)}\n`);
}

type Call = (this: FileHandle, ...args: unknown[]) => Promise<unknown>;

function watch(what: "write" | "sync", call: Call): Call {
  return async function (this: FileHandle, ...args) {
    const inode = fstatSync(this.fd).ino;
    note({ what, state: "begins", inode });
    if (what === "write") await delay(writeMs);
    const result = await call.apply(this, args);
    note({ what, state: "ends", inode });
    return result;
  };
}

function named(what: "named" | "made", call: (...args: never[]) => Promise<unknown>, pathAt: number) {
  return async (...args: unknown[]) => {
    const result = await call(...(args as never[]));
    const path = String(args[pathAt]);
    note({ what, path, inode: statSync(path).ino });
    return result;
  };
}

const probe = await open(process.execPath, "r");
const handles = Object.getPrototypeOf(probe) as Record<string, Call>;
await probe.close();
for (const name of ["write", "writev", "sync", "datasync"]) {
  const call = handles[name];
  if (call) handles[name] = watch(name.startsWith("write") ? "write" : "sync", call);
}
Object.assign(files, { rename: named("named", files.rename, 1), mkdir: named("made", files.mkdir, 0) });
syncBuiltinESMExports();
