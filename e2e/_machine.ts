import { spawn } from "node:child_process";
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const cliMain = fileURLToPath(new URL("../packages/cli/src/main.ts", import.meta.url));

export interface CliRun {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the command to its end. */
export function holdfast(args: string[], env: Record<string, string> = {}): Promise<CliRun> {
  return runProgram(process.execPath, [cliMain, ...args], env);
}

/** Runs a program to its end, a minute at the most. */
export function runProgram(file: string, args: string[], env: Record<string, string> = {}): Promise<CliRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env: { ...process.env, ...env }, timeout: 60_000 });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Whether a path exists and is only its owner's. */
export function isPrivate(path: string): boolean {
  return (statSync(path).mode & 0o077) === 0;
}
