export { DeadlineError, isAbort, sleep, withDeadline } from "./abort.ts";
export { BoundedQueue, ByteBudget, QueueOverflowError } from "./queue.ts";
export { type RetryOptions, retry } from "./retry.ts";
export {
  mintSandboxToken,
  type SandboxTokenPayload,
  type SandboxTokenVerdict,
  verifySandboxToken,
} from "./sandbox-token.ts";
