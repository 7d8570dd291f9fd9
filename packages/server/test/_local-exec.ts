import { type ChildProcess, spawn } from "node:child_process";
import { connect, type Socket } from "node:net";
import { Readable } from "node:stream";
import type { ExecOptions, RunningExec } from "../src/ports/sandbox-provider.ts";

export async function untilAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** A program of this machine. */
export function childExec(
  command: string,
  args: readonly string[],
  env: Record<string, string>,
  { timeoutMs, signal }: ExecOptions,
): RunningExec {
  const child: ChildProcess = spawn(command, args, { env: { PATH: process.env.PATH ?? "", ...env }, stdio: "pipe" });
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, name) => resolve(code ?? (name === "SIGKILL" ? 137 : 143)));
  });
  ended.catch(() => undefined).finally(() => clearTimeout(timer));
  signal.throwIfAborted();
  child.stdin?.on("error", () => undefined);
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => child.stdin?.write(bytes, (error) => (error ? reject(error) : resolve()))),
    closeStdin: async () => {
      child.stdin?.end();
    },
    stdout: child.stdout ?? Readable.from([]),
    stderr: child.stderr ?? Readable.from([]),
    wait: (waiting) => untilAbort(ended, waiting),
  };
}

/** `socat - UNIX-CONNECT:path`. */
export async function socketExec(path: string, links: Set<Socket>): Promise<RunningExec> {
  const socket = connect(path);
  const ended = new Promise<number>((resolve) => {
    socket.once("error", () => resolve(1));
    socket.once("close", () => resolve(0));
  });
  links.add(socket);
  socket.once("close", () => links.delete(socket));
  await Promise.race([ended, new Promise((resolve) => socket.once("connect", resolve))]);
  const failed = socket.destroyed || socket.connecting;
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve()))),
    closeStdin: async () => {
      socket.end();
    },
    stdout: endsQuietly(socket),
    stderr: Readable.from(failed ? [Buffer.from("socat: no guest answers")] : []),
    wait: (signal) => untilAbort(ended, signal),
  };
}

/** A connection that breaks ends the program's output; it is no error of the reader's. */
async function* endsQuietly(socket: Socket): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of socket) yield chunk as Uint8Array;
  } catch {
    // Broken: that is the end.
  }
}
