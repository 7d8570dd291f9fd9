import { sleep } from "@holdfast/std";
import { CliError, type Handler, textOption } from "../command.ts";
import { lives, runningOn } from "../local/running.ts";
import { defaultDataDir } from "../options.ts";

/** Turns are ended and workspaces saved in this time; the supervisor itself waits shorter for each part. */
const deadlineMs = 180_000;

export const down: Handler = async (input, { env, out, signal }) => {
  const dataDir = textOption(input, "data-dir") ?? env.dataDir ?? defaultDataDir;
  const running = runningOn(dataDir);
  if (running === undefined) {
    out.data({ data_dir: dataDir, was_running: false });
    out.line(`Nothing runs on ${dataDir}.`);
    return;
  }
  out.progress(`Ending turns, sandboxes and services of ${dataDir} (process ${running.pid})`);
  try {
    process.kill(running.pid, "SIGINT");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH")
      throw new CliError(
        `Process ${running.pid} cannot be ended`,
        "It belongs to another user.",
        "Run this as the user who ran `holdfast up` (root).",
        { cause: error },
      );
  }
  const begunMs = Date.now();
  for (let saidMs = begunMs; lives(running, dataDir); await sleep(100, signal)) {
    const now = Date.now();
    if (now - begunMs > deadlineMs)
      throw new CliError(
        `Process ${running.pid} has not ended in ${deadlineMs / 1000} seconds`,
        "A turn or a sandbox does not end.",
        `Look at ${dataDir}/run/logs, then end it with: kill -9 ${running.pid}`,
      );
    if (now - saidMs < 5_000) continue;
    saidMs = now;
    out.progress(`Still ending, ${Math.round((now - begunMs) / 1000)} s`);
  }
  out.data({ data_dir: dataDir, was_running: true, pid: running.pid });
  out.line("Ended.");
};
