import { isAbort } from "@holdfast/std";
import { type CallContext, ServerError, type ServerMiddleware, type ServerMiddlewareCall, Status } from "nice-grpc";
import type { Logger } from "pino";
import { isNoRoom } from "../disk-reserve.ts";
import { EngineError } from "../errors.ts";
import { RuntimeError, type RuntimeErrorCode } from "../runtime/types.ts";

const runtimeStatus: Record<RuntimeErrorCode, Status> = {
  not_found: Status.NOT_FOUND,
  already_exists: Status.ALREADY_EXISTS,
  not_running: Status.FAILED_PRECONDITION,
  invalid: Status.INVALID_ARGUMENT,
  precondition: Status.FAILED_PRECONDITION,
  offset_gap: Status.FAILED_PRECONDITION,
  exec_failed: Status.INVALID_ARGUMENT,
  unavailable: Status.UNAVAILABLE,
  resource_exhausted: Status.RESOURCE_EXHAUSTED,
};

/**
 * Turns whatever a method throws into a gRPC status. A fault of the engine's own is logged and becomes INTERNAL with no
 * detail but where to look; the SDK repeats that one, so nothing that is sure to fail again may end there.
 */
export function toServerError(error: unknown): ServerError | undefined {
  if (error instanceof ServerError) return error;
  if (error instanceof EngineError) return new ServerError(error.status, error.message);
  if (error instanceof RuntimeError) return new ServerError(runtimeStatus[error.code], error.message);
  if (error instanceof Error && error.name === "NetworkError") {
    return new ServerError(Status.FAILED_PRECONDITION, error.message);
  }
  if (isNoRoom(error)) {
    return new ServerError(
      Status.RESOURCE_EXHAUSTED,
      "The disk of the engine's machine is full. Nothing was changed. Free some space on it, then try again.",
    );
  }
  if (error instanceof Error && error.name === "TimeoutError") {
    return new ServerError(Status.DEADLINE_EXCEEDED, error.message);
  }
  return undefined;
}

/** Checks the caller, logs the call, maps errors. */
export function callMiddleware(options: {
  log: Logger;
  /** Throws when the caller may not call this method. */
  authorise: (path: string, call: CallContext) => void;
}): ServerMiddleware {
  return async function* middleware<Request, Response>(
    call: ServerMiddlewareCall<Request, Response>,
    context: CallContext,
  ) {
    const { path } = call.method;
    const method = path.slice(path.lastIndexOf("/") + 1);
    const startedMs = Date.now();
    try {
      options.authorise(path, context);
      const result = yield* call.next(call.request, context);
      options.log.debug({ method, ms: Date.now() - startedMs }, "call");
      return result;
    } catch (error) {
      if (context.signal.aborted && isAbort(error, context.signal)) throw error;
      const known = toServerError(error);
      if (known) {
        options.log.debug({ method, code: Status[known.code], details: known.details }, "call refused");
        throw known;
      }
      options.log.error({ err: error, method }, "call failed");
      throw new ServerError(Status.INTERNAL, `The engine failed in ${method}; its log says why.`);
    }
  };
}
