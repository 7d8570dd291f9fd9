import { refuseNotDone } from "../../behaviour/options.ts";
import { Creation } from "../../proto/messages.ts";
import type { ModalClientService } from "../../proto/services.ts";
import { checkEnvironment } from "../auth/service.ts";
import type { ServiceContext } from "../context.ts";
import { createIdempotency } from "../idempotency.ts";

type Methods = "VolumeGetOrCreate" | "VolumeDelete" | "VolumeHeartbeat";

export function volumeService({ volumes, records }: ServiceContext): Pick<ModalClientService, Methods> {
  const once = createIdempotency();
  return {
    VolumeGetOrCreate: (request, context) =>
      once(context, async () => {
        checkEnvironment(request.environmentName);
        refuseNotDone("VolumeGetOrCreateRequest", request);
        const { objectCreationType: type } = request;
        const volume = volumes.getOrCreate({
          name: request.deploymentName,
          ephemeral: type === Creation.ephemeral || type === Creation.anonymous,
          create:
            type === Creation.createIfMissing
              ? "if_missing"
              : type === Creation.createFailIfExists
                ? "fail_if_exists"
                : "no",
          version: request.version,
        });
        const { version } = volume;
        return { volumeId: volume.id, version, metadata: { version, name: volume.name ?? "" } };
      }),
    VolumeDelete: async ({ volumeId }) => {
      const users = records
        .alive()
        .filter((record) => record.spec.volumes.some((mount) => mount.volumeId === volumeId))
        .map((record) => record.id);
      await volumes.delete(volumeId, users);
      return {};
    },
    VolumeHeartbeat: async ({ volumeId }) => {
      volumes.heartbeat(volumeId);
      return {};
    },
  };
}
