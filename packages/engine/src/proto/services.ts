import type { CallContext } from "nice-grpc";
import type * as m from "./messages.ts";

type Unary<In, Out> = (request: In, context: CallContext) => Promise<Out>;
type ServerStream<In, Out> = (request: In, context: CallContext) => AsyncIterable<Out>;
type ClientStream<In, Out> = (request: AsyncIterable<In>, context: CallContext) => Promise<Out>;

/** The methods of the control plane that the engine answers. */
export interface ModalClientService {
  AuthTokenGet: Unary<m.Empty, m.AuthTokenGetResponse>;
  EnvironmentGetOrCreate: Unary<m.EnvironmentGetOrCreateRequest, m.EnvironmentGetOrCreateResponse>;
  EnvironmentList: Unary<m.Empty, m.EnvironmentListResponse>;
  AppGetOrCreate: Unary<m.AppGetOrCreateRequest, m.AppGetOrCreateResponse>;
  AppGetInfo: Unary<m.AppGetInfoRequest, m.AppGetInfoResponse>;
  AppList: Unary<m.AppListRequest, m.AppListResponse>;
  SecretGetOrCreate: Unary<m.SecretGetOrCreateRequest, m.SecretGetOrCreateResponse>;
  SecretDelete: Unary<m.SecretDeleteRequest, m.Empty>;
  VolumeGetOrCreate: Unary<m.VolumeGetOrCreateRequest, m.VolumeGetOrCreateResponse>;
  VolumeDelete: Unary<m.VolumeIdRequest, m.Empty>;
  VolumeHeartbeat: Unary<m.VolumeIdRequest, m.Empty>;
  ProxyGet: Unary<m.ProxyGetRequest, m.Empty>;
  ImageGetOrCreate: Unary<m.ImageGetOrCreateRequest, m.ImageGetOrCreateResponse>;
  ImageJoinStreaming: ServerStream<m.ImageJoinStreamingRequest, m.ImageJoinStreamingResponse>;
  ImageFromId: Unary<m.ImageIdRequest, m.ImageFromIdResponse>;
  ImageDelete: Unary<m.ImageIdRequest, m.Empty>;
  SandboxCreateV2: Unary<m.SandboxCreateV2Request, m.SandboxCreateV2Response>;
  SandboxWaitV2: Unary<m.SandboxWaitRequest, m.SandboxWaitResponse>;
  SandboxTerminateV2: Unary<m.SandboxIdRequest, m.SandboxTerminateResponse>;
  SandboxListV2: Unary<m.SandboxListRequest, m.SandboxListResponse>;
  SandboxTagsSetV2: Unary<m.SandboxTagsSetRequest, m.Empty>;
  SandboxTagsGetV2: Unary<m.SandboxIdRequest, m.SandboxTagsGetResponse>;
  SandboxGetFromNameV2: Unary<m.SandboxGetFromNameRequest, m.SandboxGetFromNameResponse>;
  SandboxGetFromName: Unary<m.SandboxGetFromNameRequest, m.SandboxGetFromNameResponse>;
  SandboxSetName: Unary<m.SandboxSetNameRequest, m.Empty>;
  SandboxGetTaskIdV2: Unary<m.SandboxIdRequest, m.SandboxGetTaskIdResponse>;
  SandboxGetCommandRouterAccess: Unary<m.SandboxGetCommandRouterAccessRequest, m.CommandRouterAccess>;
  TaskGetCommandRouterAccess: Unary<m.TaskIdRequest, m.CommandRouterAccess>;
  SandboxGetTunnelsV2: Unary<m.SandboxWaitRequest, m.SandboxGetTunnelsResponse>;
}

/** The methods of the task command router that the engine answers. */
export interface TaskCommandRouterService {
  TaskExecStart: Unary<m.TaskExecStartRequest, m.Empty>;
  TaskExecStdioRead: ServerStream<m.TaskExecStdioReadRequest, m.TaskExecStdioReadResponse>;
  TaskExecStdinWrite: Unary<m.TaskExecStdinWriteRequest, m.Empty>;
  TaskExecStdinWriteStream: ClientStream<m.TaskExecStdinWriteStreamRequest, m.Empty>;
  TaskExecStdinStatus: Unary<m.TaskExecIdRequest, m.TaskExecStdinStatusResponse>;
  TaskExecWait: Unary<m.TaskExecIdRequest, m.TaskExecExit>;
  TaskExecPoll: Unary<m.TaskExecIdRequest, m.TaskExecExit>;
  SandboxStdioReadV2: ServerStream<m.SandboxStdioReadV2Request, m.SandboxStdioReadV2Response>;
  SandboxStdinWriteV2: Unary<m.SandboxStdinWriteV2Request, m.Empty>;
  SandboxWaitUntilReady: Unary<m.SandboxWaitUntilReadyRequest, m.SandboxWaitUntilReadyResponse>;
  TaskReloadVolumes: Unary<m.TaskIdRequest, m.Empty>;
  TaskSetNetworkAccess: Unary<m.TaskSetNetworkAccessRequest, m.Empty>;
}
