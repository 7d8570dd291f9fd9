import { readFileSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";

/** A program on the PATH that only starts another one. */
const launcher = /^#!\/bin\/sh\nexec (\/[\w./-]+) "\$@"\n$/;
const longestBytes = 4_096;

/**
 * The command as it is really started: where it runs a launcher of one line as another user, the program behind it. The
 * CLI's program cannot be read by its user, and what such a program does is closed to that user's other processes;
 * the shell of a launcher is not, for the milliseconds that it lives, and whoever holds it then holds it for good.
 */
export function withoutLauncher(argv: readonly string[], path: string | undefined): string[] {
  const [runuser, flag, user, dashes, program, ...rest] = argv;
  const asUser = runuser === "runuser" && flag === "-u" && user !== undefined && dashes === "--";
  if (!asUser || program === undefined) return [...argv];
  const behind = behindLauncher(program, path ?? "");
  return [runuser, flag, user, dashes, behind ?? program, ...rest];
}

function behindLauncher(program: string, path: string): string | undefined {
  if (program.includes("/")) return readLauncher(program);
  for (const folder of path.split(delimiter)) {
    const file = join(folder, program);
    if (folder.startsWith("/") && isRunnable(file)) return readLauncher(file);
  }
  return undefined;
}

function readLauncher(file: string): string | undefined {
  const found = statSync(file, { throwIfNoEntry: false });
  // Another's file says nothing that root should follow.
  if (found === undefined || !found.isFile() || found.uid !== 0 || found.size > longestBytes) return undefined;
  const target = launcher.exec(readFileSync(file, "utf8"))?.[1];
  return target !== undefined && isRunnable(target) && statSync(target).uid === 0 ? target : undefined;
}

function isRunnable(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false });
  return found?.isFile() === true && (found.mode & 0o111) !== 0;
}
