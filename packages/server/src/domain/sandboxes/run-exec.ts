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
  /** Its standard input; none by default. */
  input?: Iterable<Uint8Array>;
}

const maxOutputBytes = 32 * 1024;

/** Runs a command to its end. A code that is not 0 is a result, not an error. */
export async function runExec(
  handle: SandboxHandle,
  args: readonly string[],
  options: RunOptions,
): Promise<ExecResult> {
  const process = await handle.exec(args, options);
  const [, stdout, stderr, code] = await Promise.all([
    // Commands that read standard input would wait for its end.
    feed(process, options.input ?? []).catch(ignoreEarlyEnd),
    tail(process.stdout, options.onStdout),
    tail(process.stderr),
    process.wait(options.signal),
  ]);
  return { code, stdout, stderr };
}

async function feed(process: RunningExec, input: Iterable<Uint8Array>): Promise<void> {
  for (const bytes of input) await process.write(bytes);
  await process.closeStdin();
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
