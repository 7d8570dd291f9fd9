/** The provider did not answer at all: nothing is known to have happened, and it may answer the next time. */
export class ProviderAwayError extends Error {
  override name = "ProviderAwayError";
}

/** A recipe for an image: each layer is built, cached and told of by itself. */
export interface ImageTemplate {
  base: string;
  layers: readonly { title: string; commands: readonly string[] }[];
}

export interface SandboxSpec {
  imageId: string;
  tags: Readonly<Record<string, string>>;
  /** Mount point → volume name; a volume is made when it does not exist. */
  volumes: Readonly<Record<string, string>>;
  env: Readonly<Record<string, string>>;
  timeoutMs: number;
  memoryMiB: number;
  memoryLimitMiB: number;
  cpu: number;
  cpuLimit: number;
  /** Names that the sandbox may speak to; nothing else. */
  domains: readonly string[];
}

export interface ExecOptions {
  /** Environment of this process alone, sent as a secret. */
  secrets?: Readonly<Record<string, string>>;
  /** The process is killed after this. */
  timeoutMs?: number;
  signal: AbortSignal;
}

/** A process in a sandbox. */
export interface RunningExec {
  write(bytes: Uint8Array): Promise<void>;
  closeStdin(): Promise<void>;
  stdout: AsyncIterable<Uint8Array>;
  stderr: AsyncIterable<Uint8Array>;
  /** Its exit code; 128 + n when a signal ended it. */
  wait(signal: AbortSignal): Promise<number>;
}

/** A running sandbox. Calls on one that has ended reject. */
export interface SandboxHandle {
  readonly id: string;
  exec(args: readonly string[], options: ExecOptions): Promise<RunningExec>;
  /** Resolves when the sandbox has ended: why, in the provider's words, where it has any and nobody asked for the end. */
  waitEnd(signal: AbortSignal): Promise<string | undefined>;
  isRunning(signal: AbortSignal): Promise<boolean>;
  /** Safe to repeat. */
  terminate(signal: AbortSignal): Promise<void>;
  /** Lets go of our connection to it; it goes on. */
  detach(): void;
}

export interface SandboxProvider {
  /** Resolves with the image's id. A failing step rejects with its output in the message. */
  buildImage(
    template: ImageTemplate,
    options: { signal: AbortSignal; onLayer: (done: number, total: number, title: string) => void },
  ): Promise<string>;
  /** `onLate` is told of one that came to be after its making was given up, by the signal or for its time. */
  create(
    spec: SandboxSpec,
    signal: AbortSignal,
    onLate: (late: SandboxHandle) => Promise<void>,
  ): Promise<SandboxHandle>;
  /** Running ones that carry all of these tags. */
  find(tags: Readonly<Record<string, string>>, signal: AbortSignal): Promise<SandboxHandle[]>;
  tags(handle: SandboxHandle, signal: AbortSignal): Promise<Record<string, string>>;
  /** The provider's own word on one sandbox, which a list is not. Rejects when it cannot be had. */
  look(sandboxId: string, signal: AbortSignal): Promise<"running" | "ended" | "missing">;
  /** With everything in it. One that does not exist is gone already. */
  deleteVolume(name: string, signal: AbortSignal): Promise<void>;
  /** Rejects when it cannot be reached. */
  ping(signal: AbortSignal): Promise<void>;
}
