export { DeadlineError, isAbort, pause, sleep, waitFor, withDeadline } from "./abort.ts";
export { inBackground } from "./background.ts";
export { FairTurns } from "./fair-turns.ts";
export {
  cutIntoPieces,
  encodeFrame,
  type Frame,
  FrameDecoder,
  type FrameLayout,
  FrameTooLargeError,
  MalformedFrameError,
  pieceBytes,
} from "./frames.ts";
export {
  addCounts,
  type Fault,
  type FaultCounts,
  faultExitCode,
  type GuardedProcess,
  type GuardOptions,
  guardProcess,
  type ProcessGuard,
  readCounts,
} from "./guard.ts";
export { type JsonBounds, JsonBoundsError, JsonMeter, keepsJsonBounds } from "./json-bounds.ts";
export {
  formatLoginLinkToken,
  type LoginLinkToken,
  loginLinkLifetimeMs,
  loginLinkPayload,
  parseLoginLinkToken,
} from "./login-link.ts";
export { type DropOptions, dropPrivileges, type GivingFiles, type PrivilegedProcess } from "./privileges.ts";
export {
  encodeProxyHeader,
  type ProxyAddress,
  type ProxyHeader,
  proxyValue,
  type ReadProxyHeader,
  readProxyHeader,
} from "./proxy-header.ts";
export { BoundedQueue, ByteBudget, QueueOverflowError } from "./queue.ts";
export { Recent } from "./recent.ts";
export { type RetryOptions, retry } from "./retry.ts";
export {
  mintSandboxToken,
  type SandboxTokenPayload,
  type SandboxTokenVerdict,
  verifySandboxToken,
} from "./sandbox-token.ts";
export { type Segment, Segments } from "./segments.ts";
export { startTimer, type Timer, timeoutSignal } from "./timers.ts";
