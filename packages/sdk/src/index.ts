export { ApiError, type ApiErrorFields } from "./api-error.ts";
export {
  type Account,
  type ApiKey,
  createHoldfast,
  type ExecOptions,
  type Holdfast,
  type HoldfastOptions,
  type ListOptions,
  type NewAccount,
  type NewApiKey,
  type Sandbox,
  type Workspace,
} from "./client.ts";
export { Execution, type OutputChunk } from "./execution.ts";
export type { CallOptions } from "./http.ts";
