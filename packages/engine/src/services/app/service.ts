import type { App } from "../../behaviour/app/apps.ts";
import { refuse } from "../../errors.ts";
import { shown } from "../../ids.ts";
import { type AppHandleMetadata, Creation } from "../../proto/messages.ts";
import type { ModalClientService } from "../../proto/services.ts";
import { checkEnvironment } from "../auth/service.ts";
import type { ServiceContext } from "../context.ts";

const deployed = 3;

type Methods = "AppGetOrCreate" | "AppGetInfo" | "AppList" | "ProxyGet";

export function appService({ apps, records }: ServiceContext): Pick<ModalClientService, Methods> {
  const metadata = (app: App): AppHandleMetadata => ({
    description: app.name,
    appId: app.id,
    environmentName: "main",
    lifecycle: { appState: deployed, createdAt: app.createdAt },
  });
  return {
    AppGetOrCreate: async ({ appName, environmentName, objectCreationType }) => {
      checkEnvironment(environmentName);
      const app = apps.getOrCreate(appName, objectCreationType === Creation.createIfMissing);
      return { appId: app.id, handleMetadata: metadata(app) };
    },
    AppGetInfo: async ({ appId }) => ({ info: metadata(apps.byId(appId)) }),
    AppList: async ({ environmentName }) => {
      checkEnvironment(environmentName);
      const running = records.alive();
      return {
        apps: apps.list().map((app) => ({
          appId: app.id,
          description: app.name,
          state: deployed,
          createdAt: app.createdAt,
          nRunningTasks: running.filter((record) => record.appId === app.id).length,
          name: app.name,
          metadata: metadata(app),
        })),
      };
    },
    ProxyGet: async ({ name }) => {
      throw refuse.proxyNotFound(shown(name));
    },
  };
}
