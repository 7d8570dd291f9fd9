import { statSync } from "node:fs";
import type { Status } from "@holdfast/protocol";
import type { Connection } from "../client/connection.ts";
import { CliError } from "../command.ts";
import { ownVersion } from "../commands/version.ts";
import { inWords } from "../failure.ts";
import { note, ok, type Point, problem } from "./point.ts";
import { sweepPoints } from "./sweep.ts";

/** The file with the key must be its owner's alone. */
export function loginPoint(path: string, byEnvironment: boolean): Point {
  if (byEnvironment) return ok("login", "by HOLDFAST_URL and HOLDFAST_API_KEY");
  try {
    const { mode } = statSync(path);
    if ((mode & 0o077) === 0) return ok("login", path);
    return problem("login", `${path} can be read by others (mode ${(mode & 0o777).toString(8)})`, `chmod 600 ${path}`);
  } catch {
    // Absent: nobody has logged in.
    return note("login", "not logged in", "holdfast login 'LINK', with the link that `holdfast up` prints");
  }
}

export async function serverPoints(connection: Connection | undefined, signal: AbortSignal): Promise<Point[]> {
  if (connection === undefined)
    return [note("address", "no server is known", "Log in, or set HOLDFAST_URL and HOLDFAST_API_KEY.")];
  const within = AbortSignal.any([signal, AbortSignal.timeout(15_000)]);
  const { holdfast, url } = connection;
  try {
    const { ready, reason } = await holdfast.health({ signal: within });
    const version = await holdfast.version({ signal: within });
    const points = [
      ready
        ? ok("server", `${url} is ready`)
        : problem("server", `${url} is not ready: ${reason ?? ""}`, "Look at its output."),
    ];
    if (version === ownVersion()) points.push(ok("version", version));
    else
      points.push(note("version", `the server has ${version}, this command ${ownVersion()}`, "Use the same of both."));
    points.push(...(await sweepPoints(holdfast, within)));
    return [...points, ...statusPoints(await holdfast.status({ signal: within }))];
  } catch (error) {
    signal.throwIfAborted();
    const failure = within.aborted
      ? new CliError(`${url} does not answer in 15 seconds`, "", "Look at its output; restart it.", { cause: error })
      : await inWords(error);
    return [problem("server", [failure.message, failure.why].filter((text) => text !== "").join(": "), failure.todo)];
  }
}

function statusPoints({ account, model, storage, image }: Status): Point[] {
  const points = [ok("account", `${account.name} (${account.id})`)];
  if (model.mode === "scripted")
    points.push(
      note("model", "a scripted demo answers, not Claude: there is no Anthropic key", "holdfast login --anthropic-key"),
    );
  else
    points.push(
      ok("model", `Anthropic, key ending in ${model.credential.last4 ?? "?"} from ${model.credential.source}`),
    );
  if (storage.state === "on") points.push(ok("S3", `${storage.bucket}/${storage.key_prefix ?? ""}`));
  else
    points.push(
      note("S3", `off: ${storage.reason ?? "not configured"}`, "Workspaces live on, but are not saved to S3."),
    );
  if (image.state === "failed")
    points.push(
      problem("image", image.detail ?? "its build failed", "Mend what it says; the next message builds again."),
    );
  else points.push(ok("image", image.state === "ready" ? "ready" : `being built: ${image.detail ?? ""}`));
  return points;
}
