import type { Logger } from "pino";
import type { EngineOptions } from "../../config/options.ts";
import type { Network } from "../../network/types.ts";
import type { Runtime } from "../../runtime/types.ts";
import type { Volumes } from "../volume/volumes.ts";
import type { SandboxRecords } from "./records.ts";

const everyMs = 60_000;
/** How long a finished sandbox can be asked for its result. */
const recordRetentionS = 7 * 86_400;

/** From time to time: drops old output, old records, abandoned ephemeral volumes. */
export function startHousekeeping(context: {
  options: EngineOptions;
  records: SandboxRecords;
  runtime: Runtime;
  volumes: Volumes;
  network: Network;
  log: Logger;
}): AsyncDisposable {
  const { options, records, runtime, volumes, network, log } = context;
  let running: Promise<void> = Promise.resolve();

  const round = async () => {
    const now = Date.now() / 1000;
    for (const id of records.withOldOutput(now - options.outputRetentionMs / 1000)) {
      await runtime.forget(id);
      records.setOutputGone(id);
    }
    records.removeFinishedBefore(now - recordRetentionS);
    const inUse = new Set(records.alive().flatMap((record) => record.spec.volumes.map((mount) => mount.volumeId)));
    const gone = await volumes.collect(inUse);
    if (gone.length > 0) log.info({ volumes: gone }, "abandoned ephemeral volumes removed");
    const namespaces = await network.collect();
    if (namespaces.length > 0) log.warn({ namespaces }, "network namespaces that nobody uses are removed");
  };
  const start = () => {
    running = round().catch((error: unknown) => log.error({ err: error }, "housekeeping failed"));
  };
  const timer = setInterval(start, everyMs);
  start();
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await running;
    },
  };
}
