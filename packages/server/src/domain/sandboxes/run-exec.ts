import type { ExecOptions, RunningExec, SandboxHandle } from "../../ports/sandbox-provider.ts";

export interface ExecResult {
  code: number;
  /** The last of it, at most `maxOutputBytes` each. */
  stdout: string;
  stderr: string;
}

export interface RunOptions extends ExecOptions {
  /** Told of standard output as it comes. */
  onStdout?: (text: string) => void;
}

const maxOutputBytes = 32 * 1024;

/** Runs a command to its end. A code that is not 0 is a result, not an error. */
export async function runExec(
  handle: SandboxHandle,
  args: readonly string[],
  options: RunOptions,
): Promise<ExecResult> {
  const process = await handle.exec(args, options);
  // Commands that read standard input would wait for it.
  await process.closeStdin().catch(ignoreEarlyEnd);
  const [stdout, stderr, code] = await Promise.all([
    tail(process.stdout, options.onStdout),
    tail(process.stderr),
    process.wait(options.signal),
  ]);
  return { code, stdout, stderr };
}

/** A process that has ended already takes no end of input; its exit code says what there is to say. */
function ignoreEarlyEnd(): void {}

async function tail(stream: AsyncIterable<Uint8Array>, onText?: (text: string) => void): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    const part = decoder.decode(chunk, { stream: true });
    onText?.(part);
    text = (text + part).slice(-maxOutputBytes);
  }
  return text + decoder.decode();
}

export type { RunningExec };
