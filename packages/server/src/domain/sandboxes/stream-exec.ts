import type { SandboxExec, SandboxExecFrame } from "@holdfast/protocol";
import type { RunningExec } from "../../ports/sandbox-provider.ts";
import type { LiveSandbox } from "./live-sandbox.ts";
import { runExec } from "./run-exec.ts";
import { filesMount, stateMount, waitFor } from "./sandboxes.ts";

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
/** Kills every process of the session, whatever process group it made for itself. */
const kill = `for f in /proc/[0-9]*/stat; do
  { read -r line < "$f"; } 2>/dev/null || continue
  set -- "$0" \${line##*) }
  if [ "$5" = "$0" ]; then pid=\${f#/proc/}; command kill -KILL "\${pid%/stat}" 2>/dev/null; fi
done; true`;

/** Rejects when it cannot be started. A program that does not exist is exit code 127, as in a shell. */
export async function startExec(live: LiveSandbox, input: SandboxExec, signal: AbortSignal): Promise<StreamedExec> {
  const asUser = input.user === "root" ? [] : ["runuser", "-u", "claudeuser", "--"];
  const home = input.user === "root" ? "/root" : stateMount;
  const command = [...asUser, "env", `HOME=${home}`, ...input.command];
  const args = ["setsid", "--wait", "sh", "-c", launch, filesMount, ...command];
  const use = live.use();
  try {
    const backstopMs = input.timeout_ms + 15_000;
    const running = await live.handle.exec(args, { timeoutMs: backstopMs, signal });
    // Commands that read standard input would wait for it; one that has ended already takes no end of input.
    await running.closeStdin().catch(() => undefined);
    return { frames: (reader) => follow(live, { running, use, timeoutMs: input.timeout_ms }, reader) };
  } catch (error) {
    use[Symbol.dispose]();
    throw error;
  }
}

interface Following {
  running: RunningExec;
  use: Disposable;
  timeoutMs: number;
}

/** Not a generator itself: what it lets go of at the end must not depend on a reader that never reads. */
function follow(live: LiveSandbox, { running, use, timeoutMs }: Following, reader: AbortSignal) {
  const session = Promise.withResolvers<string>();
  const end = () => void killSession(live, session.promise).finally(() => use[Symbol.dispose]());
  const timer = setTimeout(() => void killSession(live, session.promise), timeoutMs);
  reader.addEventListener("abort", end, { once: true });
  if (reader.aborted) end();
  const settle = () => {
    clearTimeout(timer);
    reader.removeEventListener("abort", end);
    if (!reader.aborted) use[Symbol.dispose]();
  };
  return readFrames(running, { session, signal: AbortSignal.any([reader, live.gone]), settle });
}

async function* readFrames(
  running: RunningExec,
  { session, signal, settle }: { session: PromiseWithResolvers<string>; signal: AbortSignal; settle: () => void },
): AsyncGenerator<SandboxExecFrame, void, undefined> {
  try {
    const stderr = withoutFirstLine(running.stderr, session);
    yield* merge([withType("stdout", running.stdout), withType("stderr", stderr)], signal);
    yield { type: "exit", code: await running.wait(signal) };
  } finally {
    settle();
  }
}

/** Its failure leaves the process to its time limit: nobody is there any more to be told. */
async function killSession(live: LiveSandbox, session: Promise<string>): Promise<void> {
  const signal = AbortSignal.any([live.gone, AbortSignal.timeout(10_000)]);
  try {
    const id = await waitFor(session, signal);
    if (/^\d+$/.test(id)) await runExec(live.handle, ["sh", "-c", kill, id], { timeoutMs: 10_000, signal });
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

async function* withoutFirstLine(
  source: AsyncIterable<Uint8Array>,
  line: Pick<PromiseWithResolvers<string>, "resolve">,
): AsyncGenerator<Uint8Array, void, undefined> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of source) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf(10);
    if (end === -1) continue;
    line.resolve(head.subarray(0, end).toString());
    if (head.length > end + 1) yield head.subarray(end + 1);
    head = undefined;
  }
  // It ended before it began: whatever it said instead is shown.
  line.resolve("");
  if (head !== undefined && head.length > 0) yield head;
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
