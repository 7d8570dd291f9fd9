import { Creation } from "../../proto/messages.ts";
import type { ModalClientService } from "../../proto/services.ts";
import { checkEnvironment } from "../auth/service.ts";
import type { ServiceContext } from "../context.ts";
import { createIdempotency } from "../idempotency.ts";

const modes = {
  [Creation.createIfMissing]: "if_missing",
  [Creation.createFailIfExists]: "fail_if_exists",
  [Creation.createOverwrite]: "overwrite",
} as const;

export function secretService({
  secrets,
}: ServiceContext): Pick<ModalClientService, "SecretGetOrCreate" | "SecretDelete"> {
  const once = createIdempotency();
  return {
    SecretGetOrCreate: (request, context) =>
      once(context, async () => {
        checkEnvironment(request.environmentName);
        const { objectCreationType: type } = request;
        const secret = secrets.getOrCreate({
          name: request.deploymentName,
          ephemeral: type === Creation.ephemeral || type === Creation.anonymous,
          create: modes[type as keyof typeof modes] ?? "no",
          variables: request.envDict,
          requiredKeys: request.requiredKeys,
        });
        const metadata = { name: request.deploymentName, keys: secret.keys, environmentName: "main" };
        return { secretId: secret.id, metadata };
      }),
    SecretDelete: async ({ secretId }) => {
      secrets.delete(secretId);
      return {};
    },
  };
}
