/** As much of Node's `process` as a guard needs; this package knows no Node. */
export interface GuardedProcess {
  readonly pid: number;
  readonly stderr: { write(text: string): unknown; on(event: "error", listener: () => void): unknown };
  on(event: "unhandledRejection" | "uncaughtException", listener: (reason: unknown) => void): unknown;
  exit(code: number): unknown;
}

export interface GuardOptions {
  /** The process's name in its log and in the counts: `server`, `keeper`. */
  name: string;
  /**
   * What an uncaught exception does. `end` (the default): it is logged, `lastly` runs, and the process ends with
   * `faultExitCode`; whoever supervises it starts it again. `go on`: only for a process whose end would take with it
   * what belongs to others (a guest's sessions, a keeper's sandboxes); it is counted as an unhandled rejection is.
   */
  uncaught?: "end" | "go on";
  /** The last work before the end; what is not done after `lastlyMs` (default 300 ms) is left undone. */
  lastly?: () => Promise<void> | void;
  lastlyMs?: number;
  /** Told at every change of the counts. */
  onCount?: (counts: FaultCounts) => void;
  /** One line; the default is a JSON line on stderr. It is called synchronously: nothing may be lost by the exit. */
  log?: (fault: Fault) => void;
}

/** Unhandled rejections (and exceptions that were survived) by the name of the process in which they happened. */
export type FaultCounts = Readonly<Record<string, number>>;

/** Of several processes, or of one that was started several times. */
export function addCounts(...all: FaultCounts[]): FaultCounts {
  const sum: Record<string, number> = {};
  for (const counts of all) for (const [name, count] of Object.entries(counts)) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}

/**
 * The counts in a line that a process tells its parent, or a parent its process:
 * `{"unhandledRejections":{"server":1}}`. Undefined for every other line.
 */
export function readCounts(line: string): FaultCounts | undefined {
  if (!line.startsWith('{"unhandledRejections":')) return undefined;
  try {
    const { unhandledRejections } = JSON.parse(line) as { unhandledRejections: unknown };
    return isCounts(unhandledRejections) ? unhandledRejections : undefined;
  } catch {
    // Half a line, of a process that was killed while it wrote.
    return undefined;
  }
}

function isCounts(value: unknown): value is FaultCounts {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((count) => typeof count === "number");
}

export interface Fault {
  kind: "unhandled_rejection" | "uncaught_exception";
  /** Which process. */
  name: string;
  /** For an operator's log, never for a user. */
  error: { message: string; stack: string | undefined };
}

export interface ProcessGuard {
  /** Always has this process's own name. */
  readonly counts: FaultCounts;
  /** What another process, of which only this one hears, has counted since it began. */
  note(counts: FaultCounts): void;
}

/** As `sysexits.h` has it: a fault inside the program. */
export const faultExitCode = 70;

/**
 * Installs what every process of ours does with a fault that nobody handled: a rejection is logged and counted, and
 * the process goes on; an exception ends it in order. Call it first of all, once.
 */
export function guardProcess(host: GuardedProcess, options: GuardOptions): ProcessGuard {
  const { name, uncaught = "end", lastly, lastlyMs = 300, onCount } = options;
  const log = options.log ?? ((fault) => host.stderr.write(`${JSON.stringify(logLine(fault, host.pid))}\n`));
  const own = { [name]: 0 };
  const noted: Record<string, number> = {};
  const counts = () => ({ ...noted, ...own });
  // A log that cannot be written (a full disk, a reader that is gone) is dropped: it must not become a fault itself.
  host.stderr.on("error", () => undefined);
  const attempt = (work: () => void) => {
    try {
      work();
    } catch {
      // Whatever tells of a fault must not be one: there is nobody left to tell.
    }
  };
  const count = (fault: Fault) => {
    own[name] = (own[name] ?? 0) + 1;
    attempt(() => log(fault));
    attempt(() => onCount?.(counts()));
  };
  host.on("unhandledRejection", (reason) => count({ kind: "unhandled_rejection", name, error: describe(reason) }));
  let ending = false;
  host.on("uncaughtException", (error) => {
    const fault: Fault = { kind: "uncaught_exception", name, error: describe(error) };
    if (uncaught === "go on") return count(fault);
    attempt(() => log(fault));
    if (ending) {
      host.exit(faultExitCode);
      return;
    }
    ending = true;
    const leave = () => {
      host.exit(faultExitCode);
    };
    if (lastly === undefined) return leave();
    setTimeout(leave, lastlyMs);
    // As a promise's work: one that throws at once ends as one that rejects.
    Promise.resolve().then(lastly).then(leave, leave);
  });
  return {
    get counts() {
      return counts();
    },
    note: (more) => {
      Object.assign(noted, more);
      attempt(() => onCount?.(counts()));
    },
  };
}

function describe(reason: unknown): Fault["error"] {
  try {
    if (!(reason instanceof Error)) return { message: String(reason), stack: undefined };
    return { message: String(reason.message), stack: reason.stack };
  } catch {
    // Anything can be thrown, also what has no text.
    return { message: "(what was thrown cannot be shown)", stack: undefined };
  }
}

/** Levels and names as pino's, which most of these logs are made of. */
function logLine({ kind, name, error }: Fault, pid: number): object {
  const level = kind === "unhandled_rejection" ? 50 : 60;
  return { level, time: Date.now(), pid, name, fault: kind, err: error, msg: words[kind] };
}

const words = {
  unhandled_rejection: "a promise was rejected and nobody had taken care of it; the process goes on",
  uncaught_exception: "an exception was caught by nobody",
} as const;
