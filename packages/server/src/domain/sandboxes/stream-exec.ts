import { AppError, type SandboxExec, type SandboxExecFrame } from "@holdfast/protocol";
import { inBackground, waitFor } from "@holdfast/std";
import type { RunningExec } from "../../ports/sandbox-provider.ts";
import type { LiveSandbox } from "./live-sandbox.ts";
import { filesMount, homeDir } from "./mounts.ts";
import { runExec } from "./run-exec.ts";

/** An exec of the account's own; ends with its reader. */
export interface StreamedExec {
  /** Ends after `exit`. Leaving it early, or the signal, kills the process with all of its session. */
  frames(signal: AbortSignal): AsyncGenerator<SandboxExecFrame, void, undefined>;
}

/**
 * Begins a session of its own, says its id as the first line of standard error, and becomes the command: there is no
 * call to end an exec, so whoever wants to must know what to kill.
 */
const launch = 'printf "%s\\n" "$$" >&2; cd "$0" 2>/dev/null; exec "$@"';
/**
 * Kills every process of the session, group by group, whatever groups it made for itself. First all are stopped, again
 * and again until a walk finds none that runs: what forks during a walk is not in it, and one that is killed makes room
 * for another fork, where one that is stopped keeps its place. The command's own group comes before any walk: a thousand
 * that run would leave the walk no processor. It uses what the shell has in itself: there may be no room.
 */
const kill = `walk() { found=0
  for f in /proc/[0-9]*/stat; do
    { read -r line < "$f"; } 2>/dev/null || continue
    set -- "$1" "$2" \${line##*) }
    if [ "$6" = "$session" ]; then
      case "$3" in [$2]) ;; *) found=1; command kill -s "$1" -- "-$5" 2>/dev/null;; esac
    fi
  done; }
session="$0"
command kill -s STOP -- "-$session" 2>/dev/null
for step in "STOP ZXTt" "KILL ZX"; do
  n=0; found=1
  while [ "$found" = 1 ] && [ "$n" -lt 200 ]; do n=$((n + 1)); walk \${step}; done
done; true`;
/** A sandbox full of processes gives this one a small part of the processors. */
const killTimeoutMs = 60_000;

/**
 * Rejects when it cannot be started, and when the signal aborts meanwhile: what was begun by then is killed. A program
 * that does not exist is exit code 127, as in a shell.
 */
export async function startExec(live: LiveSandbox, input: SandboxExec, signal: AbortSignal): Promise<StreamedExec> {
  signal.throwIfAborted();
  const asUser = input.user === "root" ? [] : ["runuser", "-u", "claudeuser", "--"];
  const home = input.user === "root" ? "/root" : homeDir;
  const command = [...asUser, "env", `HOME=${home}`, ...input.command];
  const args = ["setsid", "--wait", "sh", "-c", launch, filesMount, ...command];
  const use = live.use();
  try {
    // Not the reader's signal: a start that is given up half-way would leave a process that nobody can name.
    const starting = AbortSignal.any([live.gone, AbortSignal.timeout(startTimeoutMs)]);
    const running = await live.handle.exec(args, { timeoutMs: input.timeout_ms + 15_000, signal: starting });
    // Commands that read standard input would wait for it; one that has ended already takes no end of input.
    await running.closeStdin().catch(() => undefined);
    const { line: session, rest: stderr, discard } = await waitFor(takeFirstLine(running.stderr), starting);
    const following: Following = { running, stderr, discard, session, use, timeoutMs: input.timeout_ms };
    const { frames, ended } = follow(live, following, signal);
    if (signal.aborted) {
      await ended;
      throw signal.reason;
    }
    return { frames };
  } catch (error) {
    use[Symbol.dispose]();
    throw error;
  }
}

const startTimeoutMs = 30_000;

interface Following {
  running: RunningExec;
  /** What is left of standard error behind the session's id. */
  stderr: AsyncIterable<Uint8Array>;
  /** Closes standard error, which was opened to read the id; for when nobody comes to read the rest. */
  discard: () => void;
  session: string;
  use: Disposable;
  timeoutMs: number;
}

/**
 * Watches the client from here on, whether or not anybody comes to read: what the process holds must not depend on a
 * reader that never reads. `ended` settles when a process whose client left has been killed.
 */
function follow(live: LiveSandbox, following: Following, client: AbortSignal) {
  const { session, use, timeoutMs } = following;
  const ended = Promise.withResolvers<void>();
  let left = false;
  let isOver = false;
  const timer = setTimeout(() => {
    isOver = true;
    // What fails in killing ends in killSession.
    inBackground(killSession(live, session), () => undefined);
  }, timeoutMs);
  const leave = () => {
    if (left) return;
    left = true;
    clearTimeout(timer);
    const released = killSession(live, session).finally(() => {
      following.discard();
      use[Symbol.dispose]();
    });
    inBackground(released.finally(ended.resolve), () => undefined);
  };
  client.addEventListener("abort", leave, { once: true });
  if (client.aborted) leave();
  const frames = (reader: AbortSignal) => {
    reader.addEventListener("abort", leave, { once: true });
    if (reader.aborted) leave();
    const settle = () => {
      clearTimeout(timer);
      for (const signal of [client, reader]) signal.removeEventListener("abort", leave);
      if (!left) use[Symbol.dispose]();
    };
    return readFrames(following, {
      signal: AbortSignal.any([client, reader, live.gone]),
      settle,
      isOver: () => isOver,
    });
  };
  return { frames, ended: ended.promise };
}

async function* readFrames(
  { running, stderr }: Following,
  { signal, settle, isOver }: { signal: AbortSignal; settle: () => void; isOver: () => boolean },
): AsyncGenerator<SandboxExecFrame, void, undefined> {
  try {
    yield* merge([withType("stdout", running.stdout), withType("stderr", stderr)], signal);
    yield { type: "exit", code: await running.wait(signal) };
  } catch (error) {
    // The provider stops the reading a while after the limit, however much of the output is still to be read.
    if (isOver() && !signal.aborted) throw new AppError("exec_time_over", { cause: error });
    throw error;
  } finally {
    settle();
  }
}

/** Its failure leaves the process to its time limit: nobody is there any more to be told. */
async function killSession(live: LiveSandbox, session: string): Promise<void> {
  if (!/^\d+$/.test(session)) return;
  const signal = AbortSignal.any([live.gone, AbortSignal.timeout(killTimeoutMs)]);
  try {
    await runExec(live.handle, ["sh", "-c", kill, session], { timeoutMs: killTimeoutMs, signal });
  } catch {
    // See above.
  }
}

async function* withType(
  type: "stdout" | "stderr",
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<SandboxExecFrame, void, undefined> {
  const decoder = new TextDecoder();
  for await (const chunk of source) {
    const text = decoder.decode(chunk, { stream: true });
    if (text !== "") yield { type, text };
  }
  const rest = decoder.decode();
  if (rest !== "") yield { type, text: rest };
}

/** The first line, and what follows it. Where it ended before it began, the line is empty and all of it follows. */
async function takeFirstLine(
  source: AsyncIterable<Uint8Array>,
): Promise<{ line: string; rest: AsyncIterable<Uint8Array>; discard: () => void }> {
  const iterator = source[Symbol.asyncIterator]();
  // The process it belongs to is gone; so may be the connection.
  const discard = () => {
    iterator.return?.().catch(() => undefined);
  };
  const rest = async function* (head: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
    if (head.length > 0) yield head;
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
  };
  let head: Buffer = Buffer.alloc(0);
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
    head = Buffer.concat([head, next.value]);
    const end = head.indexOf(10);
    if (end !== -1) return { line: head.subarray(0, end).toString(), rest: rest(head.subarray(end + 1)), discard };
  }
  return { line: "", rest: rest(head), discard };
}

/** Whatever comes first; rejects with the signal's reason. */
async function* merge<T>(sources: AsyncGenerator<T>[], signal: AbortSignal): AsyncGenerator<T, void, undefined> {
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => undefined);
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const pull = (index: number, source: AsyncGenerator<T>) =>
    source.next().then((result) => ({ index, source, result }));
  const waiting = new Map(sources.map((source, index) => [index, pull(index, source)]));
  // After an abort nobody awaits them any more.
  for (const each of waiting.values()) each.catch(() => undefined);
  try {
    while (waiting.size > 0) {
      const { index, source, result } = await Promise.race([...waiting.values(), aborted.promise]);
      if (result.done) {
        waiting.delete(index);
        continue;
      }
      const next = pull(index, source);
      next.catch(() => undefined);
      waiting.set(index, next);
      yield result.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
