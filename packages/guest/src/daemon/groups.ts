import { readFileSync } from "node:fs";
import { withoutLauncher } from "./launcher.ts";

/** A supplementary group that one Claude and all that it starts have, and nobody else. */
export interface MarkGroup {
  readonly name: string;
  readonly gid: number;
}

/** Of the image: `hf1`, `hf2`, … */
const markNames = /^hf\d+$/;
let last = -1;

/** The next one that no process has; undefined where the image has none, or all are in use. */
export function freeGroup(isTaken: (gid: number) => boolean, file = "/etc/group"): MarkGroup | undefined {
  const all = groups(file).filter(({ name }) => markNames.test(name));
  for (let tried = 1; tried <= all.length; tried++) {
    const at = (last + tried) % all.length;
    const group = all[at];
    if (group === undefined || isTaken(group.gid)) continue;
    last = at;
    return group;
  }
  return undefined;
}

/**
 * The command as it is started: `runuser` gives its child the group on top of the user's own. What runs without privileges
 * can never drop a group. Undefined where the command is not started as another user.
 */
export function withGroup(argv: readonly string[], group: MarkGroup): string[] | undefined {
  const [runuser, flag, user, dashes, ...rest] = argv;
  if (runuser !== "runuser" || flag !== "-u" || user === undefined || dashes !== "--") return undefined;
  const own = primaryGroup(user);
  return own === undefined ? undefined : [runuser, flag, user, "-g", own, "-G", group.name, dashes, ...rest];
}

/** What is started, and the group by which its members are known; null: by their environment alone. */
export function commandOf(
  argv: readonly string[],
  { path, isTaken }: { path: string | undefined; isTaken: (gid: number) => boolean },
): { argv: string[]; gid: number | null } {
  const plain = withoutLauncher(argv, path);
  const group = freeGroup(isTaken);
  const marked = group && withGroup(plain, group);
  return marked === undefined ? { argv: plain, gid: null } : { argv: marked, gid: group?.gid ?? null };
}

function primaryGroup(user: string): string | undefined {
  const line = lines("/etc/passwd").find(([name]) => name === user);
  return groups("/etc/group").find(({ gid }) => gid === Number(line?.[3]))?.name;
}

function groups(file: string): MarkGroup[] {
  return lines(file).map(([name = "", , gid = ""]) => ({ name, gid: Number(gid) }));
}

function lines(file: string): string[][] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(":"));
}
