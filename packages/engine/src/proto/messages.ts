/**
 * The messages of `modal-client.proto` and `task-command-router.proto` as the codecs hand them over: scalars always set
 * (proto3 defaults), absent messages `null`, absent `optional` fields `undefined`, int64 as numbers, bytes as Buffers.
 * Responses may leave out whatever is at its default.
 */

/** google.protobuf.Empty. */
export type Empty = Record<string, never>;

export type StringMap = { contents: Record<string, string> };

/** One source of environment variables; later ones win. */
export interface SecretSource {
  secretId?: string;
  env: StringMap | null;
}

export interface AppLifecycle {
  appState?: number;
  createdAt?: number;
}
export interface AppHandleMetadata {
  description?: string;
  appId?: string;
  environmentName?: string;
  lifecycle?: AppLifecycle;
}
export interface AppGetOrCreateRequest {
  appName: string;
  environmentName: string;
  objectCreationType: number;
}
export interface AppGetOrCreateResponse {
  appId: string;
  handleMetadata?: AppHandleMetadata;
}
export interface AppGetInfoRequest {
  appId: string;
}
export interface AppGetInfoResponse {
  info: AppHandleMetadata;
}
export interface AppListRequest {
  environmentName: string;
}
export interface AppListResponse {
  apps: {
    appId: string;
    description: string;
    state: number;
    createdAt: number;
    nRunningTasks: number;
    name: string;
    metadata: AppHandleMetadata;
  }[];
}

export interface AuthTokenGetResponse {
  token: string;
}

export interface EnvironmentGetOrCreateRequest {
  deploymentName: string;
  objectCreationType: number;
}
export interface EnvironmentGetOrCreateResponse {
  environmentId: string;
  metadata: { name: string; settings: { imageBuilderVersion: string; webhookSuffix: string } };
}
export interface EnvironmentListResponse {
  items: { name: string; createdAt: number; default: boolean; environmentId: string }[];
}

export interface SecretGetOrCreateRequest {
  deploymentName: string;
  environmentName: string;
  objectCreationType: number;
  envDict: Record<string, string>;
  appId: string;
  requiredKeys: string[];
}
export interface SecretGetOrCreateResponse {
  secretId: string;
  metadata?: { name: string; keys: string[]; environmentName: string };
}
export interface SecretDeleteRequest {
  secretId: string;
}

export interface VolumeGetOrCreateRequest {
  deploymentName: string;
  environmentName: string;
  objectCreationType: number;
  appId: string;
  version: number;
}
export interface VolumeGetOrCreateResponse {
  volumeId: string;
  version: number;
  metadata: { version: number; name: string };
}
export interface VolumeIdRequest {
  volumeId: string;
}
export interface VolumeMount {
  volumeId: string;
  mountPath: string;
  readOnly: boolean;
  subPath?: string;
}

export interface ProxyGetRequest {
  name: string;
}

export interface GenericResult {
  /** See `ResultStatus`. */
  status?: number;
  exception?: string;
  exitcode?: number;
}

export interface ImageSpec {
  baseImages: { imageId: string; dockerTag: string }[];
  dockerfileCommands: string[];
  secretIds: string[];
  gpuConfig: { count: number; gpuType: string } | null;
  imageRegistryConfig: { registryAuthType: number; secretId: string } | null;
  buildArgs: Record<string, string>;
}
export interface ImageMetadata {
  workdir?: string;
  imageBuilderVersion?: string;
}
export interface ImageGetOrCreateRequest {
  image: ImageSpec | null;
  appId: string;
  forceBuild: boolean;
  builderVersion: string;
}
export interface ImageGetOrCreateResponse {
  imageId: string;
  result?: GenericResult;
  metadata?: ImageMetadata;
}
export interface ImageJoinStreamingRequest {
  imageId: string;
  timeout: number;
  lastEntryId: string;
  includeLogsForFinished: boolean;
}
export interface ImageJoinStreamingResponse {
  result?: GenericResult;
  taskLogs?: { data: string; timestamp: number; fileDescriptor: number }[];
  entryId?: string;
  eof?: boolean;
  metadata?: ImageMetadata;
}
export interface ImageIdRequest {
  imageId: string;
}
export interface ImageFromIdResponse {
  imageId: string;
  metadata?: ImageMetadata;
}

export interface NetworkAccess {
  /** 0 unset, 1 open, 2 blocked, 3 allow-list. */
  networkAccessType: number;
  allowedCidrs: string[];
  allowedDomains: string[];
}
export interface PtyInfo {
  enabled: boolean;
  winszRows: number;
  winszCols: number;
  envTerm: string;
  envColorterm: string;
}
export interface Probe {
  tcpPort?: number;
  execCommand?: { argv: string[] } | null;
  intervalMs?: number;
}
export interface SandboxTag {
  tagName: string;
  tagValue: string;
}
export interface SandboxDefinition {
  openPorts?: { ports: { port: number; unencrypted: boolean }[] } | null;
  entrypointArgs: string[];
  imageId: string;
  secretIds: string[];
  resources: {
    memoryMb: number;
    memoryMbMax: number;
    milliCpu: number;
    milliCpuMax: number;
    gpuConfig: { count: number; gpuType: string } | null;
  } | null;
  timeoutSecs: number;
  idleTimeoutSecs?: number;
  workdir?: string;
  blockNetwork: boolean;
  volumeMounts: VolumeMount[];
  cloudBucketMounts: { bucketName: string; mountPath: string }[];
  ptyInfo: PtyInfo | null;
  schedulerPlacement: { regions: string[] } | null;
  networkAccess: NetworkAccess | null;
  proxyId?: string;
  enableSnapshot: boolean;
  cloudProviderStr: string;
  runtime?: string;
  name?: string;
  readinessProbe: Probe | null;
  inboundCidrAllowlist: string[];
  environmentVariables: StringMap | null;
  experimentalOptionsV2: Record<string, string>;
  experimentalOutboundPolicy: { headerReplacements: unknown[] } | null;
}
export interface SandboxHandleMetadata {
  result?: GenericResult;
  appId?: string;
}
export interface CommandRouterAccess {
  jwt: string;
  url: string;
}
export interface SandboxCreateV2Request {
  appId: string;
  definition: SandboxDefinition | null;
  ephemeralSecrets: StringMap | null;
  tags: SandboxTag[];
  secretSources: SecretSource[];
}
export interface SandboxCreateV2Response {
  sandboxId: string;
  taskId: string;
  metadata: SandboxHandleMetadata;
  commandRouterAccess: CommandRouterAccess;
}
export interface SandboxIdRequest {
  sandboxId: string;
}
export interface SandboxWaitRequest {
  sandboxId: string;
  /** Seconds. */
  timeout: number;
}
export interface SandboxWaitResponse {
  result?: GenericResult;
  metadata: SandboxHandleMetadata;
}
export interface SandboxTerminateResponse {
  existingResult?: GenericResult;
}
export interface SandboxListRequest {
  appId: string;
  /** Seconds since 1970; 0 = from the newest. */
  beforeTimestamp: number;
  environmentName: string;
  includeFinished: boolean;
  tags: SandboxTag[];
}
export interface SandboxInfo {
  id: string;
  createdAt: number;
  appId: string;
  tags: SandboxTag[];
  name?: string;
  imageId: string;
  timeoutSecs: number;
  idleTimeoutSecs?: number;
  taskInfo: { id: string; startedAt: number; finishedAt: number; sandboxId: string; result?: GenericResult };
  metadata: SandboxHandleMetadata;
}
export interface SandboxListResponse {
  sandboxes: SandboxInfo[];
}
export interface SandboxTagsSetRequest {
  sandboxId: string;
  tags: SandboxTag[];
}
export interface SandboxTagsGetResponse {
  tags: SandboxTag[];
}
export interface SandboxGetFromNameRequest {
  sandboxName: string;
  environmentName: string;
  appName: string;
  includeTerminated: boolean;
}
export interface SandboxGetFromNameResponse {
  sandboxId: string;
  metadata: SandboxHandleMetadata;
}
export interface SandboxSetNameRequest {
  sandboxId: string;
  name: string;
}
export interface SandboxGetTaskIdResponse {
  taskId?: string;
  taskResult?: GenericResult;
}
export interface SandboxGetCommandRouterAccessRequest {
  sandboxId?: string;
  taskId?: string;
}
export interface SandboxGetTunnelsResponse {
  result: GenericResult;
  tunnels: { host: string; port: number; containerPort: number }[];
}

export interface TaskIdRequest {
  taskId: string;
}
export interface TaskExecStartRequest {
  taskId: string;
  execId: string;
  commandArgs: string[];
  /** 0 devnull, 1 pipe. */
  stdoutConfig: number;
  /** 0 devnull, 1 pipe, 2 to stdout. */
  stderrConfig: number;
  timeoutSecs?: number;
  workdir?: string;
  secretIds: string[];
  ptyInfo: PtyInfo | null;
  containerId: string;
  env: Record<string, string>;
  secretSources: SecretSource[];
}
export interface TaskExecIdRequest {
  taskId: string;
  execId: string;
}
export type TaskExecExit = { code?: number; signal?: number };
export interface TaskExecStdioReadRequest extends TaskExecIdRequest {
  offset: number;
  /** 0 stdout, 1 stderr. */
  fileDescriptor: number;
}
export interface TaskExecStdioReadResponse {
  data: Uint8Array;
}
export interface TaskExecStdinWriteRequest extends TaskExecIdRequest {
  offset: number;
  data: Uint8Array;
  eof: boolean;
}
export interface TaskExecStdinWriteStreamRequest {
  payload?: "start" | "data" | "end";
  start?: TaskExecIdRequest & { offset: number };
  data?: Uint8Array;
}
export interface TaskExecStdinStatusResponse {
  numBytesWritten: number;
  closed: boolean;
}
export interface SandboxStdioReadV2Request extends TaskIdRequest {
  offset: number;
  /** 0 stdout, 1 stderr. */
  fileDescriptor: number;
}
export interface SandboxStdioReadV2Response {
  data: Uint8Array;
  startingOffset: number;
}
export interface SandboxStdinWriteV2Request extends TaskIdRequest {
  offset: number;
  data: Uint8Array;
  eof: boolean;
}
export interface SandboxWaitUntilReadyRequest extends TaskIdRequest {
  timeout: number;
}
export interface SandboxWaitUntilReadyResponse {
  readyAt: number;
}
export interface TaskSetNetworkAccessRequest extends TaskIdRequest {
  networkAccess: NetworkAccess | null;
}

/** `GenericResult.status`. */
export const ResultStatus = {
  success: 1,
  failure: 2,
  terminated: 3,
  timeout: 4,
  initFailure: 5,
  internalFailure: 6,
  idleTimeout: 7,
} as const;

/** `object_creation_type` of the GetOrCreate calls. */
export const Creation = {
  lookup: 0,
  createIfMissing: 1,
  createFailIfExists: 2,
  createOverwrite: 3,
  anonymous: 4,
  ephemeral: 5,
} as const;
