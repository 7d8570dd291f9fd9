export {
  Account,
  AccountCreate,
  AccountCreated,
  AccountDeleted,
  ApiKey,
  ApiKeyCreate,
  ApiKeyCreated,
  Credential,
  LoggedIn,
  Login,
  Logout,
} from "./account.ts";
export {
  Agent,
  AgentCreate,
  AgentDefinition,
  type AgentModelParams,
  AgentOverrides,
  type AgentToolName,
  AgentToolset,
  AgentToolsetParams,
  AgentUpdate,
  agentToolNames,
  PermissionPolicy,
  SessionAgent,
} from "./agent.ts";
export { BackgroundTask, TaskStopped } from "./background.ts";
export {
  ClaudeCommands,
  ClaudeContext,
  ClaudeFiles,
  ClaudeHooks,
  ClaudeMcp,
  ClaudeModels,
  ClaudePermissions,
  ClaudePlan,
  ClaudeSettings,
  type ClaudeState,
  type ClaudeStateName,
  type ClaudeStates,
  ClaudeUsage,
  claudeStateNames,
} from "./claude-state.ts";
export {
  Environment,
  EnvironmentConfig,
  type EnvironmentConfigParams,
  EnvironmentCreate,
  EnvironmentUpdate,
} from "./environment.ts";
export * from "./event.ts";
export { type IdKind, idPrefixes, idSchema, isId, newId } from "./ids.ts";
export {
  maxBodyBytes,
  maxContentBlocks,
  maxNamedErrors,
  maxPromptBytes,
  maxToolResultBytes,
  smallBody,
} from "./limits.ts";
export { Message, MessageDelivery, MessageRemoved, MessageUpdate } from "./message.ts";
export { Metadata, MetadataPatch, patchMetadata } from "./metadata.ts";
export {
  AppError,
  isAppError,
  type ProblemCode,
  type ProblemEntry,
  type ProblemOptions,
  problems,
} from "./problem.ts";
export {
  ChoiceQuestion,
  ConfirmationDetails,
  PermissionRule,
  PermissionSuggestion,
  PlanMode,
} from "./question.ts";
export {
  type AgentChoice,
  SendEvents,
  Session,
  SessionCreate,
  SessionStatus,
  SessionUpdate,
  Status,
  WorkspaceName,
  workspaceMetadataKey,
} from "./resource.ts";
export type { Parameter } from "./routes/parameters.ts";
export { type BodyOf, boundsOf, type ParamsOf, type QueryOf, type ResultOf, type Route } from "./routes/route.ts";
export { api, routes } from "./routes.ts";
export { Sandbox, SandboxExec, SandboxExecFrame, type SandboxExecInput, Sweep } from "./sandbox.ts";
export { PermissionMode, SessionSettings, SettingsChange } from "./settings.ts";
export {
  draftTypes,
  MultiStreamStart,
  maxStreamSessions,
  StreamSessionError,
  StreamStart,
  StreamVerdict,
} from "./stream.ts";
export {
  maxInputBytes,
  Terminal,
  TerminalCreate,
  TerminalHeard,
  TerminalSaid,
  TerminalSize,
  terminalFrame,
  terminalFrameParts,
} from "./terminal.ts";
export { Todo } from "./todo.ts";
export { Workspace, WorkspaceDeleted, WorkspaceWrite } from "./workspace.ts";
