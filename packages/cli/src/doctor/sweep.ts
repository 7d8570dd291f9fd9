import type { Holdfast, Sweep } from "@holdfast/sdk";
import { note, ok, type Point, problem } from "./point.ts";

/** What the server's last sweep found; only the administrator may ask. */
export async function sweepPoints(holdfast: Holdfast, signal: AbortSignal): Promise<Point[]> {
  try {
    return inPoints(await holdfast.sweep({ signal }));
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    // An older server has no such route.
    if (code !== "admin_only" && code !== "route_not_found") throw error;
    return code === "admin_only" ? [note("sweep", "shown only to the account default", "")] : [];
  }
}

export function inPoints(last: Sweep | null): Point[] {
  if (last === null) return [note("sweep", "none yet since the server started", "Look again in a minute.")];
  const { at, running, ended, settled, unknown, failures } = last;
  const points: Point[] = [];
  const counts = [
    `${running} running`,
    `${ended.length} ended that nobody wanted`,
    `${settled.length} gone and settled`,
  ];
  points.push(ok("sweep", `${at}: ${counts.join(", ")}`));
  if (unknown > 0)
    points.push(
      note(
        "unknown",
        `${unknown} ${unknown === 1 ? "sandbox carries" : "sandboxes carry"} this installation's tag and no workspace here knows ${unknown === 1 ? "it" : "them"}`,
        "Put the right database back, or look at `holdfast sandboxes` and end them with `holdfast stop ID`.",
      ),
    );
  for (const failure of failures) points.push(problem("sweep", failure, "It is tried again every minute."));
  return points;
}
