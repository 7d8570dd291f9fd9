import type { Logger } from "pino";
import type { EngineOptions } from "../../config/options.ts";
import type { DiskReserve } from "../../disk-reserve.ts";
import type { Network } from "../../network/types.ts";
import type { Runtime } from "../../runtime/types.ts";
import type { Images } from "../image/images.ts";
import type { Secrets } from "../secret/secrets.ts";
import type { Volumes } from "../volume/volumes.ts";
import type { SandboxRecords } from "./records.ts";

/** How often it is looked whether the disk is full. */
const diskEveryMs = 2_000;
/** Finished sandboxes that can be asked for their result, however short ago they ended. */
const maxFinished = 10_000;

/** From time to time: drops what has grown old or is nobody's, and looks after the disk's reserve. */
export function startHousekeeping(context: {
  options: EngineOptions;
  records: SandboxRecords;
  runtime: Runtime;
  volumes: Volumes;
  network: Network;
  images: Images;
  secrets: Secrets;
  reserve: DiskReserve;
  log: Logger;
}): AsyncDisposable {
  const { options, records, runtime, volumes, network, images, secrets, reserve, log } = context;
  let running: Promise<void> = Promise.resolve();

  // Each by itself: what cannot be done today must not keep the rest from being done.
  const steps: Record<string, () => unknown> = {
    "old output": async () => {
      for (const id of records.withOldOutput(Date.now() / 1000 - options.outputRetentionMs / 1000, maxFinished)) {
        await runtime.forget(id);
        records.setOutputGone(id);
      }
    },
    "old records": () => records.removeFinished(Date.now() / 1000 - options.recordRetentionMs / 1000, maxFinished),
    "ends that could not be written": () => records.writePending(),
    "old images": () => images.collect(),
    "old secrets": () => secrets.collect(),
    "ephemeral volumes": async () => {
      const inUse = new Set(records.alive().flatMap((record) => record.spec.volumes.map((mount) => mount.volumeId)));
      const gone = await volumes.collect(inUse);
      if (gone.length > 0) log.info({ volumes: gone }, "abandoned ephemeral volumes removed");
    },
    "network namespaces": async () => {
      const namespaces = await network.collect();
      if (namespaces.length > 0) log.warn({ namespaces }, "network namespaces that nobody uses are removed");
    },
    "the disk's reserve": () => reserve.restore(),
  };
  const round = async () => {
    for (const [name, step] of Object.entries(steps)) {
      try {
        await step();
      } catch (error) {
        log.error({ err: error }, `housekeeping failed: ${name}`);
      }
    }
  };
  const start = () => {
    // One after the other, however long one takes.
    running = running.then(round);
  };
  const timer = setInterval(start, options.housekeepingMs);
  const disk = setInterval(() => reserve.check(), diskEveryMs);
  start();
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      clearInterval(disk);
      await running;
    },
  };
}
