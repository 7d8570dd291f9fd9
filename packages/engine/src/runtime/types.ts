import type { DiskLimit, DiskProbe } from "../disk/types.ts";

/**
 * The engine's seam to isolation. `services/` and `behaviour/` speak to this interface only; `runtime/oci.ts`
 * implements it with an OCI runtime (crun, runc, runsc) whose processes are held by the keeper, so that sandboxes and
 * their output outlive the engine.
 */

/** A host directory shown inside the sandbox. */
export interface SandboxMount {
  /** Host path, absolute. A volume's is the path of its tree, whatever the runtime keeps it in. */
  source: string;
  /** Path inside, absolute. */
  target: string;
  readOnly: boolean;
  /** Whether ids are shifted so that the host's plain uid 0 is the sandbox's uid 0 (idmapped mount). */
  idmapped: boolean;
  /** For a volume: what it may take, and the directory below its root that is shown (made if missing, no link followed). */
  volume?: DiskLimit & { subPath?: string };
}

/** Hard limits; undefined means no limit of that kind. */
export interface SandboxLimits {
  memoryBytes?: number;
  /** 1000 = one core. */
  milliCpu?: number;
  pids?: number;
  /** The writable layer; not with `upperDir`. */
  scratch?: DiskLimit;
}

export interface SandboxSpec {
  /** `sb-…`, `bld-…`: already validated, safe as a file name. */
  sandboxId: string;
  /** Lower layers of the overlay root, plain ids, the topmost first. */
  layers: string[];
  /** Where the writable layer lies; created when missing, kept after the end. Absent: a directory of the runtime's own, removed at the end. */
  upperDir?: string;
  /** First host uid and gid of the 65 536 that this sandbox's account owns. */
  hostIdBase: number;
  /** The main process; runs as root inside. Its stdio is spooled like an exec's (exec id "main"). */
  args: string[];
  env: Record<string, string>;
  cwd: string;
  mounts: SandboxMount[];
  /** Symlinks made in the root before the start: volume mount points. A path that exists in the image is replaced only if it is an empty directory or missing, else this is an error. */
  symlinks: { path: string; target: string }[];
  limits: SandboxLimits;
  /** Path of the network namespace to join. */
  networkNamespace: string;
  hostname: string;
  /** Files bound read-only over the root: resolv.conf, hosts, CA bundle of image builds. */
  files: { path: string; content: string }[];
}

export interface ExecSpec {
  sandboxId: string;
  /** Chosen by the client (uuid), unique per sandbox; already validated. Starting the same id again is answered with the running one. */
  execId: string;
  args: string[];
  env: Record<string, string>;
  cwd: string;
  /** Absent: pipes. */
  pty?: { rows: number; cols: number; term: string };
  stdout: "pipe" | "devnull";
  stderr: "pipe" | "devnull";
  /** The keeper kills the process (SIGKILL) after this. */
  timeoutMs?: number;
}

export type ExitStatus = { code: number } | { signal: number };

export interface ExecState {
  /** Absent while it runs. */
  exit?: ExitStatus;
  stdinBytes: number;
  stdinClosed: boolean;
}

export interface SandboxState {
  running: boolean;
  /** Why it ended, when it did. */
  exit?: ExitStatus & { reason: "exit" | "terminated" | "oom" | "lost" | "disk" | "memory" };
}

/** Everything here throws `RuntimeError` with a code that services map to gRPC statuses. */
export interface Runtime extends AsyncDisposable {
  /** What holds the limits of disk; undefined while a keeper runs that knows none. */
  readonly disk: DiskProbe | undefined;
  /** Resolves when the main process runs. */
  create(spec: SandboxSpec, options: { signal: AbortSignal }): Promise<void>;
  state(sandboxId: string): Promise<SandboxState>;
  /** Sandboxes that the keeper still knows, for an engine that starts again. */
  list(): Promise<string[]>;
  /** Resolves when the sandbox has ended, with its final state. */
  waitSandbox(sandboxId: string, options: { signal: AbortSignal }): Promise<SandboxState>;
  /** Kills every process, unmounts, removes cgroup and namespaces. Spools stay until `forget`. Safe to repeat. */
  destroy(sandboxId: string, reason: "terminated" | "timeout" | "idle"): Promise<void>;
  /** Removes what `destroy` kept. */
  forget(sandboxId: string): Promise<void>;

  exec(spec: ExecSpec, options: { signal: AbortSignal }): Promise<void>;
  /**
   * Bytes from `offset` on, following until the process has ended and all is read. Ends early, without error, when the
   * signal aborts. What was dropped over the budget before anybody read is passed over: `onSkipped` tells how many bytes
   * before the first; a reader that is overtaken later gets `resource_exhausted` (of the main process, `unavailable`).
   * Reading an exec from an offset says that everything below it arrived, and may be dropped.
   */
  readOutput(
    target: { sandboxId: string; execId: string; fd: 1 | 2; offset: number },
    options: { signal: AbortSignal; onSkipped?: (bytes: number) => void },
  ): AsyncIterable<Uint8Array>;
  /** A client got this exec's exit: some minutes later it may be forgotten. */
  exitRead(sandboxId: string, execId: string): Promise<void>;
  /**
   * Bytes below what was already received are dropped (a client's retry); a gap is an error. Resolves when the process
   * has taken most of it: a slow reader makes its writer wait. The signal gives up what was not sent yet.
   */
  writeStdin(
    target: { sandboxId: string; execId: string; offset: number; eof: boolean },
    data: Uint8Array,
    options?: { signal?: AbortSignal },
  ): Promise<void>;
  execState(sandboxId: string, execId: string): Promise<ExecState>;
  waitExec(sandboxId: string, execId: string, options: { signal: AbortSignal }): Promise<ExitStatus>;
  killExec(sandboxId: string, execId: string, signal: number): Promise<void>;
  /** New size of a terminal; `invalid` for an exec with pipes. */
  resizeExec(sandboxId: string, execId: string, size: { rows: number; cols: number }): Promise<void>;

  /**
   * Destroys every sandbox, ends the keeper and lets go of it: nothing but spools is left. Disposing alone only lets
   * go: sandboxes and keeper live on for the next engine.
   */
  shutdown(): Promise<void>;
}

export type RuntimeErrorCode =
  | "not_found"
  | "already_exists"
  | "not_running"
  | "invalid"
  | "precondition"
  | "offset_gap"
  | "exec_failed"
  | "unavailable"
  | "resource_exhausted";

export class RuntimeError extends Error {
  override name = "RuntimeError";
  readonly code: RuntimeErrorCode;
  constructor(code: RuntimeErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
