export type {
  Account,
  AccountCreated,
  AccountDeleted,
  ApiKey,
  ApiKeyCreated,
  ClaudeState,
  ClaudeStateName,
  Message,
  MessageRemoved,
  PermissionRule,
  Sandbox,
  Status,
  Sweep,
  Terminal,
  TerminalSize,
  Workspace,
  WorkspaceDeleted,
} from "@holdfast/protocol";
export { ApiError, type ApiErrorFields } from "./api-error.ts";
export {
  createHoldfast,
  type ExecOptions,
  type Holdfast,
  type HoldfastOptions,
  type ListOptions,
} from "./client.ts";
export { Execution, type OutputChunk } from "./execution.ts";
export type { Followed, FollowOptions } from "./follow.ts";
export type { CallOptions } from "./http.ts";
