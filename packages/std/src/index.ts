export { DeadlineError, isAbort, sleep, withDeadline } from "./abort.ts";
export { BoundedQueue, QueueOverflowError } from "./queue.ts";
export { type RetryOptions, retry } from "./retry.ts";
