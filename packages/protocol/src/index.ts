export * from "./event.ts";
export { type IdKind, idPrefixes, idSchema, isId, newId } from "./ids.ts";
export { maxBodyBytes, maxPromptBytes, maxToolResultBytes } from "./limits.ts";
export {
  AppError,
  isAppError,
  type ProblemCode,
  type ProblemEntry,
  type ProblemOptions,
  problems,
} from "./problem.ts";
export {
  SendEvents,
  Session,
  SessionCreate,
  SessionStatus,
  Status,
  WorkspaceName,
  workspaceMetadataKey,
} from "./resource.ts";
