import { refuseNotDone } from "../../behaviour/options.ts";
import type { SandboxRecord } from "../../behaviour/sandbox/records.ts";
import { mustLive } from "../../behaviour/sandbox/sandboxes.ts";
import { checkName, checkTags, toStoredSpec } from "../../behaviour/sandbox/spec.ts";
import { refuse } from "../../errors.ts";
import { newSandboxIds, shown } from "../../ids.ts";
import type {
  CommandRouterAccess,
  SandboxCreateV2Request,
  SandboxGetFromNameRequest,
  SandboxHandleMetadata,
  SandboxInfo,
  SandboxListRequest,
} from "../../proto/messages.ts";
import type { ModalClientService } from "../../proto/services.ts";
import { checkEnvironment } from "../auth/service.ts";
import type { ServiceContext } from "../context.ts";
import { createIdempotency, idempotencyKey } from "../idempotency.ts";

const pageSize = 100;
/** The SDK asks for 10 s at a time; nobody needs longer. */
const longestWaitMs = 60_000;

type Methods = Extract<keyof ModalClientService, `Sandbox${string}` | "TaskGetCommandRouterAccess">;

export function sandboxService(context: ServiceContext): Pick<ModalClientService, Methods> {
  const { records, sandboxes, tokens, routerUrl } = context;
  const once = createIdempotency();
  const access = (record: SandboxRecord): CommandRouterAccess => ({
    jwt: tokens.issueRouterToken(record.taskId),
    url: routerUrl(),
  });
  return {
    SandboxCreateV2: (request, call) =>
      once(call, async () => {
        const record = await create(context, request, { key: idempotencyKey(call), signal: call.signal });
        return {
          sandboxId: record.id,
          taskId: record.taskId,
          metadata: metadata(record),
          commandRouterAccess: access(record),
        };
      }),
    SandboxWaitV2: async ({ sandboxId, timeout }, { signal }) => {
      records.byId(sandboxId);
      const timeoutMs = Math.min(Math.max(timeout, 0) * 1000, longestWaitMs);
      const record = await sandboxes.wait(sandboxId, { timeoutMs, signal });
      // While it runs `result` stays unset: the SDK's wait() stops on any result.
      return { metadata: metadata(record), ...result(record) };
    },
    SandboxTerminateV2: async ({ sandboxId }) => {
      const before = records.byId(sandboxId);
      if (before.status === "finished") return before.result ? { existingResult: before.result } : {};
      await sandboxes.end(sandboxId, "terminated");
      return {};
    },
    SandboxListV2: async (request) => ({ sandboxes: list(context, request) }),
    SandboxTagsSetV2: async ({ sandboxId, tags }) => {
      records.setTags(records.byId(sandboxId).id, checkTags(tags));
      return {};
    },
    SandboxTagsGetV2: async ({ sandboxId }) => ({ tags: records.byId(sandboxId).tags }),
    SandboxGetFromNameV2: async (request) => fromName(context, request),
    // The SDK asks the older method too before it says that there is none.
    SandboxGetFromName: async ({ sandboxName }) => {
      throw refuse.sandboxNameNotFound(shown(sandboxName));
    },
    SandboxSetName: async ({ sandboxId, name }) => {
      records.setName(mustLive(records.byId(sandboxId)).id, checkName(name));
      return {};
    },
    SandboxGetTaskIdV2: async ({ sandboxId }) => {
      const record = records.byId(sandboxId);
      const finished = record.status === "finished" && record.result;
      return { taskId: record.taskId, ...(finished ? { taskResult: finished } : {}) };
    },
    SandboxGetCommandRouterAccess: async ({ sandboxId, taskId }) => {
      if (sandboxId) return access(records.byId(sandboxId));
      return access(records.byTask(taskId ?? ""));
    },
    TaskGetCommandRouterAccess: async ({ taskId }) => access(records.byTask(taskId)),
    SandboxGetTunnelsV2: async ({ sandboxId }) => {
      const { openPorts } = records.byId(sandboxId).spec;
      if (openPorts.length > 0) throw refuse.unsupported(`A tunnel (ports ${openPorts.join(", ")})`);
      return { result: { status: 1 }, tunnels: [] };
    },
  };
}

async function create(
  context: ServiceContext,
  request: SandboxCreateV2Request,
  { key, signal }: { key: string | undefined; signal: AbortSignal },
): Promise<SandboxRecord> {
  const { apps, images, volumes, secrets, records, sandboxes, options } = context;
  const { definition } = request;
  if (!definition) throw refuse.invalid("A sandbox definition is needed");
  refuseNotDone("SandboxCreateV2Request", request);
  // Across a restart of the engine: the first try may have succeeded unheard.
  const known = key === undefined ? undefined : records.byIdempotencyKey(key);
  if (known) return known;
  const app = apps.byId(request.appId);
  const tags = checkTags(request.tags);
  const spec = toStoredSpec(app.id, definition, tags, options);
  images.usable(spec.imageId);
  for (const { volumeId } of spec.volumes) volumes.byId(volumeId);
  const sources =
    request.secretSources.length > 0
      ? request.secretSources
      : definition.secretIds.map((secretId) => ({ secretId, env: null }));
  const env = secrets.merge([...sources, { env: request.ephemeralSecrets }, { env: definition.environmentVariables }]);
  const name = definition.name ? checkName(definition.name) : undefined;
  const ids = newSandboxIds();
  return await sandboxes.create(
    { id: ids.sandboxId, taskId: ids.taskId, appId: app.id, name, spec, env, tags, idempotencyKey: key },
    signal,
  );
}

function list({ apps, records }: ServiceContext, request: SandboxListRequest): SandboxInfo[] {
  checkEnvironment(request.environmentName);
  if (request.appId !== "") apps.byId(request.appId);
  const page = records.page({
    appId: request.appId === "" ? undefined : request.appId,
    before: request.beforeTimestamp > 0 ? request.beforeTimestamp : Number.MAX_VALUE,
    withFinished: request.includeFinished,
    tags: request.tags,
    size: pageSize,
  });
  return page.map((record) => ({
    id: record.id,
    createdAt: record.createdAt,
    appId: record.appId,
    tags: record.tags,
    imageId: record.spec.imageId,
    timeoutSecs: record.spec.timeoutMs / 1000,
    ...(record.name === undefined ? {} : { name: record.name }),
    ...(record.spec.idleTimeoutMs === undefined ? {} : { idleTimeoutSecs: record.spec.idleTimeoutMs / 1000 }),
    taskInfo: {
      id: record.taskId,
      sandboxId: record.id,
      startedAt: record.startedAt ?? 0,
      finishedAt: record.finishedAt ?? 0,
      ...result(record),
    },
    metadata: metadata(record),
  }));
}

function fromName({ apps, records }: ServiceContext, request: SandboxGetFromNameRequest) {
  checkEnvironment(request.environmentName);
  const app = apps.byName(request.appName);
  const record = app && records.byName(app.id, request.sandboxName, request.includeTerminated);
  if (!record) throw refuse.sandboxNameNotFound(shown(request.sandboxName));
  return { sandboxId: record.id, metadata: metadata(record) };
}

function metadata(record: SandboxRecord): SandboxHandleMetadata {
  return { appId: record.appId, ...result(record) };
}

function result(record: SandboxRecord) {
  return record.status === "finished" && record.result ? { result: record.result } : {};
}
