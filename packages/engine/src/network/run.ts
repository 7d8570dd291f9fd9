import { spawn } from "node:child_process";
import { NetworkError, reasonOf } from "./network-error.ts";

/** The engine may be started with a poor PATH; `ip` and `nft` live in sbin. */
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Runs a tool to its end and returns its stdout. Throws `NetworkError` when it fails or outlasts `timeoutMs`. */
export async function run(
  file: string,
  args: string[],
  options: { input?: string; timeoutMs?: number } = {},
): Promise<string> {
  const { input, timeoutMs = 15_000 } = options;
  const failed = (why: string, cause?: unknown) =>
    new NetworkError({
      what: `\`${[file, ...args].join(" ")}\` failed.`,
      why,
      todo: "Run `holdfast doctor` to see what this machine's network support lacks.",
      cause,
    });
  return await new Promise<string>((resolve, reject) => {
    const child = spawn(file, args, {
      env: { PATH: searchPath, LC_ALL: "C" },
      stdio: ["pipe", "pipe", "pipe"],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    // A tool that ends before it has read its input says why by its exit code.
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
    child.on("error", (error) => reject(failed(`It could not be started: ${reasonOf(error)}.`, error)));
    child.on("close", (code, signal) => {
      if (code === 0) resolve(stdout);
      else reject(failed(stderr.trim() || (signal === null ? `Exit code ${code}.` : `Ended by ${signal}.`)));
    });
  });
}
