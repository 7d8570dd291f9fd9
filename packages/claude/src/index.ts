export { type DecodedLine, decodeLine, LineSplitter, type RawLine } from "./decode.ts";
export { eventIdOf } from "./hash.ts";
export type { JsonObject } from "./json.ts";
export {
  type ClaudeArgs,
  type ClaudeEnvironment,
  claudeArgs,
  claudeBehaviour,
  claudeEnvironment,
} from "./launch.ts";
export { showPath } from "./map-assistant.ts";
export { endProcess, mapLine } from "./map-line.ts";
export { agentsIn, backgroundTasks, worksOn } from "./map-tasks.ts";
export type { MapperContext, MapResult } from "./mapping.ts";
export { claudeSettings, type SettingsInput } from "./settings.ts";
export type { CanUseToolRequest, PermissionQuestion, Signal, TurnOutcome } from "./signals.ts";
export { createMapperState, hasOpenTool, type MapperState } from "./state.ts";
export { type StateContext, stateAnswer } from "./state-answers.ts";
export { isStateAnswer, isStateRequestId, type StateQuestion, stateRequest } from "./state-request.ts";
export { type RebuiltTranscript, TranscriptBuilder } from "./transcript.ts";
export {
  controlErrorResponse,
  controlRequest,
  controlResponse,
  type InputBlock,
  initializeRequest,
  interruptRequest,
  type PermissionAnswer,
  type PermissionMode,
  permissionResponse,
  setEffortRequest,
  setModelRequest,
  setPermissionModeRequest,
  stopTaskRequest,
  type UserLine,
  userLine,
} from "./writers.ts";
