import { spawnSync } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, statSync } from "node:fs";
import { type ProcessEntry, readProcessTable, sendSignal } from "../daemon/process-table.ts";
import { asUser } from "../permissions/as-user.ts";

/** The shell of a terminal, and what else has it as its terminal. */
export interface TerminalProcesses {
  readonly leader: ProcessEntry | undefined;
  /** Between `leader` and `shell`: they hold the terminal. */
  readonly holders: readonly ProcessEntry[];
  readonly shell: ProcessEntry | undefined;
  readonly others: readonly ProcessEntry[];
}

/**
 * Found by what the kernel knows: `leader` is root's shell that carries the terminal's folder in its arguments, the
 * terminal's own shell the first below it that leads a session with a terminal.
 */
export function terminalProcesses(folder: string): TerminalProcesses {
  const table = readProcessTable().filter(({ isZombie }) => !isZombie);
  const leader = table.find(({ pid, name }) => name === "sh" && argumentsOf(pid)[3] === folder);
  let below = leader === undefined ? [] : [leader];
  let shell: ProcessEntry | undefined;
  const holders: ProcessEntry[] = [];
  while (shell === undefined && below.length > 0) {
    const parents = new Set(below.map(({ pid }) => pid));
    below = table.filter(({ parent }) => parents.has(parent));
    shell = below.find(({ pid, session, tty }) => tty !== 0 && session === pid);
    if (shell === undefined) holders.push(...below);
  }
  const { tty, pid } = shell ?? { tty: 0, pid: 0 };
  const others = tty === 0 ? [] : table.filter((each) => each.tty === tty && each.pid !== pid);
  return { leader, holders, shell, others };
}

function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\u0000");
  } catch {
    // Gone meanwhile.
    return [];
  }
}

/** The kernel tells whoever has it in the foreground (SIGWINCH). False where there is no such terminal any more. */
export function resizeTty({ tty }: ProcessEntry, { rows, cols }: { rows: number; cols: number }): boolean {
  // Minor numbers are in two parts; see proc(5).
  const path = `/dev/pts/${(tty & 0xff) | ((tty >> 12) & 0xfff00)}`;
  const owner = statSync(path, { throwIfNoEntry: false });
  if (owner === undefined) return false;
  // Root of a sandbox may not open what is another user's.
  const descriptor = asUser(owner, () => openSync(path, constants.O_RDWR | constants.O_NOCTTY));
  try {
    const sized = spawnSync("stty", ["rows", String(rows), "cols", String(cols)], {
      stdio: [descriptor, "ignore", "ignore"],
      timeout: 5_000,
    });
    return sized.status === 0;
  } finally {
    closeSync(descriptor);
  }
}

/** As a modem that hangs up: programs may save what they have. */
export function hangUp({ shell, others }: TerminalProcesses): void {
  for (const { pid } of [...others, ...(shell === undefined ? [] : [shell])]) {
    sendSignal(pid, "SIGHUP");
    sendSignal(pid, "SIGCONT");
  }
}

/** What is still there of them, and of what they have started in the terminal's session meanwhile. */
export function killAll({ leader, holders, shell, others }: TerminalProcesses): void {
  const before = [leader, ...holders, shell, ...others].filter((entry) => entry !== undefined);
  const isOne = (now: ProcessEntry) =>
    now.session === shell?.pid || before.some(({ pid, startTime }) => pid === now.pid && startTime === now.startTime);
  for (const { pid } of readProcessTable().filter(isOne)) sendSignal(pid, "SIGKILL");
}
