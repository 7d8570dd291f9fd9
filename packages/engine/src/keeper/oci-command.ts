import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";

/** Runtimes get a fixed environment: nothing of the engine's leaks into them. */
export const RUNTIME_ENV = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };

export interface OciCommandOptions {
  args: string[];
  /** Where the runtime writes its own errors, apart from the process's stderr. */
  log: string;
  stdio: ("ignore" | number)[];
  timeoutMs: number;
  /** Kills the call when it aborts. */
  stop?: AbortSignal;
}

export interface OciResult {
  /** 0 when it did what it was asked. */
  code: number;
  /** The runtime's last words. */
  message: string;
}

/** Calls the OCI runtime's command line; one instance per keeper. */
export class OciCommand {
  /** Pids that libuv waits for. */
  readonly live = new Set<number>();
  readonly #binary: string;
  readonly #globalArgs: string[];

  constructor(options: { binary: string; root: string; cgroups: boolean; kind: string }) {
    this.#binary = options.binary;
    this.#globalArgs = ["--root", options.root];
    if (!options.cgroups && options.kind === "crun") this.#globalArgs.push("--cgroup-manager", "disabled");
  }

  /** A call gets a session of its own, so that no terminal signal reaches it. */
  async run(options: OciCommandOptions): Promise<OciResult> {
    rmSync(options.log, { force: true });
    const args = [...this.#globalArgs, "--log", options.log, "--log-format", "json", ...options.args];
    const child = spawn(this.#binary, args, { stdio: options.stdio, env: RUNTIME_ENV, detached: true, cwd: "/" });
    const pid = child.pid;
    if (pid !== undefined) this.live.add(pid);
    let killed = "";
    const kill = (why: string) => {
      killed = why;
      child.kill("SIGKILL");
    };
    const onStop = () => kill("the sandbox is ending");
    const timer = setTimeout(() => kill(`no answer within ${options.timeoutMs} ms`), options.timeoutMs);
    options.stop?.addEventListener("abort", onStop, { once: true });
    try {
      const code = await exitOf(child);
      return { code, message: code === 0 ? "" : lastMessage(options.log) || killed };
    } finally {
      clearTimeout(timer);
      options.stop?.removeEventListener("abort", onStop);
      if (pid !== undefined) this.live.delete(pid);
    }
  }
}

function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 255));
  });
}

function lastMessage(log: string): string {
  try {
    const lines = readFileSync(log, "utf8").trim().split("\n").filter(Boolean);
    const messages = lines.map(messageOf).filter(Boolean);
    return messages.at(-1) ?? "";
  } catch {
    // No log: the runtime died before it could say anything; the caller names the exit code.
    return "";
  }
}

function messageOf(line: string): string {
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry === "object" && entry !== null && "msg" in entry) return String(entry.msg);
  } catch {
    // Not JSON: some runtimes print plain text when they fail early.
  }
  return line;
}
