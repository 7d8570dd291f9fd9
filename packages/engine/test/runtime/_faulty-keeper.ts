import childProcess, { type ChildProcess } from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import koffi from "koffi";

/**
 * The keeper's own program, in a process in which one call to the system can be made to fail: `{arm: n}` over the IPC
 * channel lets the n-th call from now on fail once, `{disarm: true}` is answered with how many there were and which
 * one failed. The keeper itself knows nothing of it.
 */

/** What each call answers on machines in trouble. */
const answers: Record<string, string[]> = {
  spawn: ["EAGAIN", "EMFILE", "ENOMEM"],
  "process.kill": ["ESRCH", "EPERM"],
  // System calls that Node lacks.
  mount: ["EBUSY", "ENOMEM", "ENOSPC", "EINVAL"],
  umount2: ["EBUSY", "ENOMEM"],
  pipe2: ["EMFILE", "ENFILE"],
  ioctl: ["EIO"],
  syscall: ["ENOMEM", "EMFILE", "EBUSY", "ENOSPC"],
  // File operations.
  mkdirSync: ["ENOSPC", "EIO", "ENOMEM", "EROFS"],
  openSync: ["EMFILE", "ENOSPC", "EIO", "ENFILE", "ENOMEM"],
  closeSync: ["EIO", "ENOSPC", "EDQUOT"],
  writeSync: ["ENOSPC", "EIO", "EDQUOT"],
  writeFileSync: ["ENOSPC", "EMFILE", "EIO", "EDQUOT"],
  readFileSync: ["EMFILE", "EIO", "ENOMEM"],
  readdirSync: ["EMFILE", "EIO", "ENOMEM"],
  statSync: ["EIO", "ENOMEM"],
  lstatSync: ["EIO", "ENOMEM"],
  statfsSync: ["EIO"],
  fchownSync: ["EIO", "EPERM"],
  fchmodSync: ["EIO", "EPERM"],
  lchownSync: ["EIO", "ENOSPC"],
  symlinkSync: ["ENOSPC", "EIO"],
  rmSync: ["EBUSY", "ENOTEMPTY", "EIO", "EMFILE"],
  rmdirSync: ["EBUSY", "ENOTEMPTY", "EIO"],
  unlinkSync: ["EBUSY", "EIO"],
  "promises.open": ["EMFILE", "ENOSPC", "EIO"],
  "promises.readFile": ["EMFILE", "EIO"],
  "promises.rename": ["ENOSPC", "EIO", "EBUSY", "EXDEV"],
  "promises.rm": ["ENOTEMPTY", "EBUSY", "EMFILE", "EIO"],
  "handle.writeFile": ["ENOSPC", "EIO"],
  "handle.sync": ["EIO", "ENOSPC"],
  "handle.close": ["EIO", "EDQUOT"],
};

let armedAt = Number.POSITIVE_INFINITY;
let pick = 0;
let calls = 0;
let failed: string | undefined;
let counting = false;

/** The error name with which this call fails, or undefined. */
function fails(name: string): string | undefined {
  if (!counting) return undefined;
  calls += 1;
  if (calls - 1 !== armedAt || failed !== undefined) return undefined;
  const codes = answers[name] ?? ["EIO"];
  const code = codes[pick % codes.length] ?? "EIO";
  failed = `${name}: ${code} ${
    (new Error().stack ?? "")
      .split("\n")
      .find((line) => line.includes("/src/keeper/"))
      ?.trim() ?? ""
  }`;
  return code;
}

function errorOf(code: string, name: string): Error {
  const errno = koffi.os.errno[code] ?? 5;
  return Object.assign(new Error(`${code}: made to fail, ${name}`), { code, errno: -errno, syscall: name });
}

// biome-ignore lint/suspicious/noExplicitAny: functions of every shape are wrapped alike
type AnyFunction = (...args: any[]) => any;

function wrap(owner: Record<string, AnyFunction>, key: string, name: string): void {
  const real = owner[key];
  if (real === undefined) throw new Error(`no ${name}`);
  const wrapped = (...args: unknown[]) => {
    const code = fails(name);
    if (code === undefined) return real.apply(owner, args);
    // A descriptor is closed whatever close says.
    if (key.startsWith("close")) real.apply(owner, args);
    if (name.startsWith("promises.") || name.startsWith("handle.")) {
      const done = key === "close" ? real.apply(owner, args) : Promise.resolve();
      return done.then(() => Promise.reject(errorOf(code, name)));
    }
    throw errorOf(code, name);
  };
  owner[key] = Object.assign(wrapped, real);
}

for (const name of Object.keys(answers)) {
  if (name.endsWith("Sync")) wrap(fs as unknown as Record<string, AnyFunction>, name, name);
  if (name.startsWith("promises.")) wrap(fs.promises as unknown as Record<string, AnyFunction>, name.slice(9), name);
}
wrap(process as unknown as Record<string, AnyFunction>, "kill", "process.kill");

const openHandle = fs.promises.open;
fs.promises.open = async (...args: Parameters<typeof openHandle>) => {
  const handle = await openHandle(...args);
  for (const key of ["writeFile", "sync", "close"]) {
    wrap(handle as unknown as Record<string, AnyFunction>, key, `handle.${key}`);
  }
  return handle;
};

const spawn = childProcess.spawn as AnyFunction;
childProcess.spawn = ((file: string, args: string[], options: object): ChildProcess => {
  const code = fails("spawn");
  if (code === undefined) return spawn(file, args, options);
  if (code === "ENOMEM") throw errorOf(code, "spawn");
  // As Node does it: a child without a pid, and an event.
  const child: ChildProcess = spawn("/nonexistent", args, options);
  // Without descriptors there are no pipes either.
  if (code === "EMFILE") {
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
    Object.assign(child, { stdin: undefined, stdout: undefined, stderr: undefined });
  }
  const emit = child.emit.bind(child) as AnyFunction;
  child.emit = ((event: string, ...rest: unknown[]) =>
    emit(event, ...(event === "error" ? [errorOf(code, "spawn")] : rest))) as typeof child.emit;
  return child;
}) as typeof childProcess.spawn;

const load = koffi.load;
koffi.load = ((path: string) => {
  const library = load(path);
  const func = library.func.bind(library) as AnyFunction;
  return {
    func: (...definition: unknown[]) => {
      const real: AnyFunction = func(...definition);
      const first = String(definition[0]);
      const name = /(\w+)\(/.exec(first)?.[1] ?? first;
      if (answers[name] === undefined) return real;
      return (...args: unknown[]) => {
        const code = fails(name);
        if (code === undefined) return real(...args);
        koffi.errno(koffi.os.errno[code] ?? 5);
        return -1;
      };
    },
  };
}) as unknown as typeof koffi.load;
syncBuiltinESMExports();

process.on("message", (message: { arm?: number; pick?: number; disarm?: boolean }) => {
  if (message.arm !== undefined) {
    armedAt = message.arm;
    pick = message.pick ?? 0;
    calls = 0;
    failed = undefined;
    counting = true;
    process.send?.({ armed: true });
  } else {
    counting = false;
    process.send?.({ calls, failed });
  }
});
// The test's end is not the keeper's.
process.channel?.unref();
process.on("disconnect", () => undefined);

await import("../../src/keeper/main.ts");
