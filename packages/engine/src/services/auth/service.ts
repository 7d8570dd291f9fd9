import { refuse } from "../../errors.ts";
import { shown } from "../../ids.ts";
import type { ModalClientService } from "../../proto/services.ts";
import type { ServiceContext } from "../context.ts";

const environment = { name: "main", id: "en-00000000000000000000ma" };

type Methods = "AuthTokenGet" | "EnvironmentGetOrCreate" | "EnvironmentList";

/** Tokens, and the one environment that there is. */
export function authService({ tokens }: ServiceContext): Pick<ModalClientService, Methods> {
  return {
    AuthTokenGet: async () => ({ token: tokens.issueAuthToken() }),
    EnvironmentGetOrCreate: async ({ deploymentName }) => {
      checkEnvironment(deploymentName);
      return {
        environmentId: environment.id,
        metadata: { name: environment.name, settings: { imageBuilderVersion: "2025.06", webhookSuffix: "" } },
      };
    },
    EnvironmentList: async () => ({
      items: [{ name: environment.name, createdAt: 0, default: true, environmentId: environment.id }],
    }),
  };
}

/** Throws NOT_FOUND for any environment but the default one. */
export function checkEnvironment(name: string): void {
  if (name !== "" && name !== environment.name) throw refuse.environmentNotFound(shown(name));
}
