export type { IsolationProblem } from "./isolation-problem.ts";
export { createRuntime, type RuntimeLog, type RuntimeOptions } from "./oci-runtime.ts";
export type { OciRuntimeName } from "./oci-runtime-choice.ts";
export { type IsolationReport, probeIsolation } from "./probe.ts";
export {
  type ExecSpec,
  type ExecState,
  type ExitStatus,
  type Runtime,
  RuntimeError,
  type RuntimeErrorCode,
  type SandboxLimits,
  type SandboxMount,
  type SandboxSpec,
  type SandboxState,
} from "./types.ts";
