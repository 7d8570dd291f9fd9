import { expect, test } from "vitest";
import type { RunningExec, SandboxHandle } from "../../ports/sandbox-provider.ts";
import { LiveSandbox } from "./live-sandbox.ts";
import { startExec } from "./stream-exec.ts";

/** An exec whose output a reader has not come to the end of when the provider stops the reading at `stopped`. */
function behind(stopped: Promise<void>): RunningExec {
  return {
    write: () => Promise.resolve(),
    closeStdin: () => Promise.resolve(),
    async *stdout() {
      yield Buffer.from("y\n");
      await stopped;
      throw new Error("Deadline exceeded while streaming stdio");
    },
    async *stderr() {
      yield Buffer.from("no session\n");
    },
    wait: () => new Promise(() => undefined),
  } as unknown as RunningExec & { stdout: () => AsyncGenerator<Uint8Array>; stderr: () => AsyncGenerator<Uint8Array> };
}

/** Only what an exec asks of a sandbox. */
function sandboxWith(running: RunningExec): LiveSandbox {
  const { stdout, stderr } = running as unknown as Record<"stdout" | "stderr", () => AsyncGenerator<Uint8Array>>;
  const started = { ...running, stdout: stdout(), stderr: stderr() };
  const handle = { id: "sb-1", exec: () => Promise.resolve(started) } as unknown as SandboxHandle;
  const workspace = { id: "wsp_1" } as unknown as LiveSandbox["workspace"];
  return new LiveSandbox({ handle, workspace, rowId: "sbx_1", environment: "", onUse: () => undefined });
}

test.each([
  ["is over", 1, "exec_time_over"],
  ["is not over", 60_000, undefined],
])("reading that is stopped when the time limit %s says so, and nothing else", async (_when, timeoutMs, code) => {
  const stop = Promise.withResolvers<void>();
  const live = sandboxWith(behind(stop.promise));
  const signal = new AbortController().signal;
  const exec = await startExec(live, { command: ["yes"], user: "claudeuser", timeout_ms: timeoutMs }, signal);
  const frames = exec.frames(signal);
  expect((await frames.next()).value).toEqual({ type: "stdout", text: "y\n" });
  // The limit's own timer was set before this one.
  setTimeout(stop.resolve, 20);
  const failure = await frames.next().then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(Error);
  expect((failure as { code?: string }).code).toBe(code);
});
