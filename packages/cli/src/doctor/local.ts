import { statfsSync, statSync } from "node:fs";
import { createServer } from "node:net";
import type { Running } from "../local/running.ts";
import { note, ok, type Point, problem } from "./point.ts";

const wantedBytes = 2 * 2 ** 30;

export function dataDirPoints(dataDir: string, running: Running | undefined): Point[] {
  let mode: number;
  try {
    mode = statSync(dataDir).mode;
  } catch {
    // Absent: the usual state of a machine on which Holdfast has not run yet.
    return [note("directory", `${dataDir} does not exist yet`, "`holdfast up` makes it; --data-dir names another.")];
  }
  const points = [ok("directory", dataDir)];
  if ((mode & 0o022) !== 0)
    points.push(
      problem(
        "rights",
        `${dataDir} can be written by others (mode ${(mode & 0o777).toString(8)})`,
        `chmod 711 ${dataDir}`,
      ),
    );
  const { bavail, bsize } = statfsSync(dataDir);
  const free = `${((bavail * bsize) / 2 ** 30).toFixed(1)} GiB free`;
  if (bavail * bsize < wantedBytes)
    points.push(
      problem(
        "space",
        `${free}; images and workspaces soon need more than that`,
        "Free some space, or move the directory to a larger disk.",
      ),
    );
  else points.push(ok("space", free));
  if (running === undefined) points.push(note("running", "nothing runs on it", "Start it with `holdfast up`."));
  else points.push(ok("running", `process ${running.pid}${running.url === undefined ? "" : ` serves ${running.url}`}`));
  return points;
}

/** Whether `holdfast up` would find its port free. */
export async function portPoint(running: Running | undefined): Promise<Point[]> {
  if (running !== undefined) return [];
  const taken = await new Promise<boolean>((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(true));
    probe.listen(4600, "127.0.0.1", () => probe.close(() => resolve(false)));
  });
  if (!taken) return [ok("port", "4600 of 127.0.0.1 is free")];
  return [note("port", "4600 of 127.0.0.1 is taken by another program", "Choose another: holdfast up --port 4700")];
}
