import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { sleep } from "@holdfast/std";
import { freePort } from "@holdfast/testkit/free-port";

/** `holdfast up` of an older checkout, until it is killed. */
export interface OldSupervisor extends AsyncDisposable {
  url: string;
  /** As a crash would: the supervisor by SIGKILL, its services end because of that; sandboxes and keeper live on. */
  kill(): Promise<void>;
}

export interface OldSupervisorOptions {
  checkout: string;
  dataDir: string;
  imageCacheDir: string;
}

export async function startOldSupervisor(options: OldSupervisorOptions): Promise<OldSupervisor> {
  const { checkout, dataDir, imageCacheDir } = options;
  const main = join(checkout, "packages", "cli", "src", "main.ts");
  const port = await freePort();
  const child = spawn(process.execPath, [main, "up", "--port", `${port}`, "--data-dir", dataDir], {
    env: { ...process.env, ANTHROPIC_API_KEY: "", DATABASE_URL: "", HOLDFAST_IMAGE_CACHE_DIR: imageCacheDir },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const dispose = () => end(child, "SIGINT");
  try {
    await untilReady(child, () => said);
    return {
      url: `http://127.0.0.1:${port}`,
      kill: async () => {
        await end(child, "SIGKILL");
        await servicesGone(dataDir);
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function untilReady(child: ChildProcess, said: () => string): Promise<void> {
  return new Promise((resolve, reject) => {
    if (child.stdout === null) throw new Error("no stdout");
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.startsWith("Ctrl-C")) resolve();
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => reject(new Error(`the old holdfast ended with ${signal ?? code}: ${said()}`)));
  });
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
}

/** The four services hold the port and the database; who starts next must not meet them. */
async function servicesGone(dataDir: string): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  while (services(dataDir)) await sleep(100, signal);
}

function services(dataDir: string): boolean {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .some((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        const isService = /packages\/(server|engine|gateway|s3)\/src\/main\.ts/.test(command);
        return isService && readFileSync(`/proc/${pid}/environ`, "utf8").includes(dataDir);
      } catch {
        // It ended while we looked.
        return false;
      }
    });
}
