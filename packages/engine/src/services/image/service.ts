import type { ImageRecord } from "../../behaviour/image/images.ts";
import { refuseNotDone } from "../../behaviour/options.ts";
import { refuse } from "../../errors.ts";
import { type GenericResult, type ImageMetadata, ResultStatus } from "../../proto/messages.ts";
import type { ModalClientService } from "../../proto/services.ts";
import type { ServiceContext } from "../context.ts";

type Methods = "ImageGetOrCreate" | "ImageJoinStreaming" | "ImageFromId" | "ImageDelete";

export function imageService({ images, buildLogs, apps }: ServiceContext): Pick<ModalClientService, Methods> {
  return {
    ImageGetOrCreate: async (request) => {
      const { image, appId, forceBuild } = request;
      refuseNotDone("ImageGetOrCreateRequest", request);
      if (!image) throw refuse.invalid("An image is needed");
      apps.byId(appId);
      const record = images.getOrCreate(image, forceBuild);
      return { imageId: record.id, ...outcome(record) };
    },
    ImageJoinStreaming: async function* ({ imageId, timeout, lastEntryId, includeLogsForFinished }, { signal }) {
      const untilMs = Date.now() + Math.min(timeout > 0 ? timeout : 55, 300) * 1000;
      let seen = /^\d+$/.test(lastEntryId) ? Number(lastEntryId) : 0;
      const first = images.byId(imageId);
      if (first.status !== "building" && !includeLogsForFinished) {
        yield { ...outcome(first), eof: true };
        return;
      }
      // Starts the build anew when a restart of the engine cut it.
      const ended = images.join(imageId, { timeoutMs: Math.max(untilMs - Date.now(), 0), signal });
      let over = false;
      const stop = new AbortController();
      const settled = ended.finally(() => {
        over = true;
        stop.abort();
      });
      while (!over && !signal.aborted) {
        const lines = buildLogs.read(imageId, seen);
        if (lines.length > 0) {
          seen += lines.length;
          yield logItem(lines, seen);
        } else {
          await buildLogs.changed(imageId, AbortSignal.any([signal, stop.signal]));
        }
      }
      const record = await settled;
      const rest = buildLogs.read(imageId, seen);
      if (rest.length > 0) yield logItem(rest, seen + rest.length);
      if (record.status !== "building") yield { ...outcome(record), eof: true };
    },
    ImageFromId: async ({ imageId }) => {
      const record = images.byId(imageId);
      return { imageId: record.id, metadata: outcome(record).metadata };
    },
    ImageDelete: async ({ imageId }) => {
      images.delete(imageId);
      return {};
    },
  };
}

function logItem(lines: string[], seen: number) {
  const data = `${lines.join("\n")}\n`;
  return { entryId: String(seen), taskLogs: [{ data, timestamp: Date.now() / 1000, fileDescriptor: 1 }] };
}

function outcome(record: ImageRecord): { result?: GenericResult; metadata: ImageMetadata } {
  const metadata: ImageMetadata = {
    imageBuilderVersion: "2025.06",
    ...(record.built?.workdir === undefined ? {} : { workdir: record.built.workdir }),
  };
  if (record.status === "built") return { metadata, result: { status: ResultStatus.success } };
  if (record.status === "building") return { metadata };
  const status = record.status === "timed_out" ? ResultStatus.timeout : ResultStatus.failure;
  return { metadata, result: { status, exception: record.error ?? "the build failed" } };
}
