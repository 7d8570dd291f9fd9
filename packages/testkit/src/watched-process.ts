import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const probe = fileURLToPath(new URL("loop-probe.ts", import.meta.url));

/** One of our processes, as its supervisor starts it, with its event loop under watch. */
export interface WatchedProcess extends AsyncDisposable {
  /** The line in which it said that it is ready. */
  readonly ready: Record<string, unknown>;
  readonly dataDir: string;
  /** How long its event loop kept a timer of ten milliseconds waiting at the most while `work` ran, those included. */
  longestDelayMs(work: () => Promise<unknown>): Promise<number>;
}

/** `main`: the package's `main.ts`. The data directory is made and removed. Throws with its words when it does not start. */
export async function startWatched(
  main: URL,
  options: object,
  /** Called between a first start, which makes the data, and the one that is watched. */
  fill?: (dataDir: string) => void,
): Promise<WatchedProcess> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-watched-"));
  const first = fill === undefined ? undefined : await run(main, { options, directory });
  await first?.stop();
  fill?.(join(directory, "data"));
  const started = await run(main, { options, directory });
  return {
    ready: started.ready,
    dataDir: join(directory, "data"),
    async longestDelayMs(work) {
      await ask(started.child, "reset");
      await work();
      return await ask(started.child, "read");
    },
    async [Symbol.asyncDispose]() {
      await started.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function run(main: URL, { options, directory }: { options: object; directory: string }) {
  const dataDir = join(directory, "data");
  const file = join(directory, "options.json");
  await writeFile(file, JSON.stringify({ logLevel: "error", ...options, dataDir }), { mode: 0o600 });
  const child = spawn(process.execPath, ["--import", probe, fileURLToPath(main)], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    env: { ...process.env, HOLDFAST_OPTIONS_FILE: file },
  });
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const first: unknown[] = await Promise.race([once(lines, "line"), exited.then(() => ["it ended"])]);
  if (!String(first[0]).includes('"ready":true')) {
    await stop();
    throw new Error(`the process did not start: ${first[0]}`);
  }
  return { child, stop, ready: JSON.parse(String(first[0])) as Record<string, unknown> };
}

/** Of three windows the middle one: what an idle process on this machine looks like at this moment. */
export async function idleDelayMs(watched: WatchedProcess): Promise<number> {
  const seen: number[] = [];
  for (let window = 0; window < 3; window++) seen.push(await watched.longestDelayMs(() => wait(150)));
  return seen.sort((a, b) => a - b)[1] ?? 0;
}

async function ask(child: ChildProcess, what: "reset" | "read"): Promise<number> {
  const answered = once(child, "message");
  child.send(what);
  const [{ maxMs }] = (await answered) as [{ maxMs: number }];
  return maxMs;
}
