import { spawn } from "node:child_process";

/** A host command that failed; the text ends with its last output. */
export class CommandError extends Error {
  override name = "CommandError";
}

/** Runs a host command, hands its output on line by line, rejects unless it exits 0. The signal kills its process group. */
export async function runCommand(
  args: [string, ...string[]],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; onLine?: (line: string) => void; signal: AbortSignal },
): Promise<void> {
  options.signal.throwIfAborted();
  const [program, ...rest] = args;
  const child = spawn(program, rest, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const kill = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // The group has ended by itself meanwhile, which is what was wanted.
    }
  };
  options.signal.addEventListener("abort", kill, { once: true });
  const last: string[] = [];
  const onLine = (line: string) => {
    last.push(line);
    if (last.length > 20) last.shift();
    options.onLine?.(line);
  };
  // One each: half a line, or half a character, of the one does not go on in the other.
  const outputs = [child.stdout, child.stderr].map((stream) => {
    const split = lineSplitter(onLine);
    stream.on("data", split.write);
    return split;
  });
  try {
    const code = await new Promise<number | string>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (exitCode, signal) => resolve(exitCode ?? signal ?? "unknown"));
    });
    for (const split of outputs) split.end();
    options.signal.throwIfAborted();
    if (code !== 0) throw new CommandError(`${program} failed (exit ${code}):\n${last.join("\n")}`);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      throw new CommandError(`${program} is not installed on this machine; install the Debian package '${program}'`);
    }
    throw error;
  } finally {
    options.signal.removeEventListener("abort", kill);
  }
}

/** Cuts a byte stream into lines; a carriage return inside a line keeps only what a terminal would show last. */
export function lineSplitter(onLine: (line: string) => void): { write(chunk: Uint8Array): void; end(): void } {
  const decoder = new TextDecoder();
  let rest = "";
  const emit = (line: string) => {
    const shown = line.replace(/\r+$/, "");
    onLine(shown.slice(shown.lastIndexOf("\r") + 1));
  };
  return {
    write: (chunk) => {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      if (rest.length > 65_536) {
        parts.push(rest);
        rest = "";
      }
      for (const line of parts) emit(line);
    },
    end: () => {
      rest += decoder.decode();
      if (rest !== "") emit(rest);
      rest = "";
    },
  };
}
