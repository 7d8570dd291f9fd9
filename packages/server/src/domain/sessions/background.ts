import type { BackgroundTask } from "@holdfast/protocol";

/** What runs beside the session's turns. */
export function backgroundOf({ background_json: json }: { background_json: string | null }): BackgroundTask[] {
  return json === null ? [] : (JSON.parse(json) as BackgroundTask[]);
}
