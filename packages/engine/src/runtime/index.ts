export { createRuntime, type RuntimeOptions } from "./oci-runtime.ts";
export { probeIsolation } from "./probe.ts";
export { type ExecSpec, type ExitStatus, type Runtime, RuntimeError, type SandboxSpec } from "./types.ts";
