import { withDeadline } from "@holdfast/std";
import type { CallContext } from "nice-grpc";
import { checkExecId, mainExec } from "../../behaviour/exec/execs.ts";
import { createInput, type Input } from "../../behaviour/exec/input.ts";
import { waitUntilReady } from "../../behaviour/sandbox/readiness.ts";
import type { SandboxRecord } from "../../behaviour/sandbox/records.ts";
import { mustLive } from "../../behaviour/sandbox/sandboxes.ts";
import { toPolicy } from "../../behaviour/sandbox/spec.ts";
import { refuse } from "../../errors.ts";
import { shown } from "../../ids.ts";
import type { TaskExecExit, TaskExecIdRequest } from "../../proto/messages.ts";
import type { TaskCommandRouterService } from "../../proto/services.ts";
import { type ExitStatus, type Runtime, RuntimeError } from "../../runtime/types.ts";
import type { ServiceContext } from "../context.ts";

/** Large enough to be quick, small enough to share a connection fairly. */
const chunkBytes = 128 * 1024;

export function taskRouterService(context: ServiceContext): TaskCommandRouterService {
  const input = createInput(context);
  return { ...execMethods(context), ...stdinMethods(context, input), ...sandboxMethods(context, input) };
}

/** The sandbox of a task, when the call's bearer token speaks for that task. */
function authorised({ records, tokens }: ServiceContext, taskId: string, call: CallContext): SandboxRecord {
  const allowed = tokens.checkRouterToken(call.metadata.get("authorization"));
  if (allowed !== taskId) throw refuse.wrongRouterToken();
  return records.byTask(taskId);
}

type ExecMethods = "TaskExecStart" | "TaskExecStdioRead" | "TaskExecWait" | "TaskExecPoll";

function execMethods(context: ServiceContext): Pick<TaskCommandRouterService, ExecMethods> {
  const { execs, runtime } = context;
  return {
    TaskExecStart: async (request, call) => {
      authorised(context, request.taskId, call);
      await execs.start(request, call.signal);
      return {};
    },
    TaskExecStdioRead: async function* (request, call) {
      const target = locate(context, request, call);
      const options = {
        signal: call.signal,
        onSkipped: (bytes: number) => call.trailer.set("x-modal-warning", droppedWarning(bytes)),
      };
      for await (const data of chunks(runtime, { ...target, ...from(request) }, options)) yield { data };
    },
    TaskExecWait: async (request, call) => {
      const { sandboxId, execId } = locate(context, request, call);
      const exit = await runtime.waitExec(sandboxId, execId, { signal: call.signal }).catch(asExecError(execId));
      await exitRead(context, { sandboxId, execId });
      return toExit(exit);
    },
    TaskExecPoll: async (request, call) => {
      const { sandboxId, execId } = locate(context, request, call);
      const { exit } = await runtime.execState(sandboxId, execId).catch(asExecError(execId));
      if (!exit) return {};
      await exitRead(context, { sandboxId, execId });
      return toExit(exit);
    },
  };
}

type StdinMethods = "TaskExecStdinWrite" | "TaskExecStdinWriteStream" | "TaskExecStdinStatus";

function stdinMethods(context: ServiceContext, input: Input): Pick<TaskCommandRouterService, StdinMethods> {
  const { runtime } = context;
  return {
    TaskExecStdinWrite: async (request, call) => {
      const target = { ...locate(context, request, call), offset: request.offset, eof: request.eof };
      await input.write(target, request.data, call.signal).catch(asExecError(target.execId));
      return {};
    },
    TaskExecStdinWriteStream: async (requests, call) => {
      let target: ReturnType<typeof locate> | undefined;
      let offset = 0;
      for await (const message of requests) {
        if (message.payload === "start" && message.start) {
          target = locate(context, message.start, call);
          offset = message.start.offset;
          continue;
        }
        if (!target) throw refuse.invalid("The first message of a stdin stream must be 'start'");
        const eof = message.payload === "end";
        const data = message.data ?? new Uint8Array();
        await input.write({ ...target, offset, eof }, data, call.signal).catch(asExecError(target.execId));
        offset += data.length;
        if (eof) return {};
      }
      // Without `end` the client was cut off and will ask for the status and go on.
      throw refuse.precondition("The stdin stream ended without its 'end' message");
    },
    TaskExecStdinStatus: async (request, call) => {
      const { sandboxId, execId } = locate(context, request, call);
      const state = await runtime.execState(sandboxId, execId).catch(asExecError(execId));
      return { numBytesWritten: state.stdinBytes, closed: state.stdinClosed };
    },
  };
}

type SandboxMethods = Exclude<keyof TaskCommandRouterService, ExecMethods | StdinMethods>;

function sandboxMethods(context: ServiceContext, input: Input): Pick<TaskCommandRouterService, SandboxMethods> {
  const { runtime, records, network, execs } = context;
  return {
    SandboxStdioReadV2: async function* (request, call) {
      const { id } = authorised(context, request.taskId, call);
      let startingOffset = request.offset;
      const target = { sandboxId: id, execId: mainExec, ...from(request) };
      const onSkipped = (bytes: number) => {
        startingOffset += bytes;
      };
      for await (const data of chunks(runtime, target, { signal: call.signal, onSkipped })) {
        yield { data, startingOffset };
        startingOffset += data.length;
      }
    },
    SandboxStdinWriteV2: async ({ taskId, offset, eof, data }, call) => {
      const record = authorised(context, taskId, call);
      const target = { record, execId: mainExec, offset, eof };
      await input.write(target, data, call.signal).catch(asExecError(mainExec));
      return {};
    },
    SandboxWaitUntilReady: async ({ taskId, timeout }, call) => {
      const record = mustLive(authorised(context, taskId, call));
      const readyAt = await withDeadline((signal) => waitUntilReady(record, { execs, runtime }, signal), {
        what: `waiting until sandbox ${record.id} is ready`,
        timeoutMs: (timeout > 0 ? timeout : 300) * 1000,
        signal: call.signal,
      });
      return { readyAt };
    },
    // Volumes are shared live: there is nothing to commit or to fetch.
    TaskReloadVolumes: async ({ taskId }, call) => {
      mustLive(authorised(context, taskId, call));
      return {};
    },
    TaskSetNetworkAccess: async ({ taskId, networkAccess }, call) => {
      const record = mustLive(authorised(context, taskId, call));
      const policy = toPolicy(networkAccess, false);
      records.setPolicy(record.id, policy);
      await network.setPolicy(record.id, policy);
      return {};
    },
  };
}

function locate(context: ServiceContext, request: TaskExecIdRequest, call: CallContext) {
  const record = authorised(context, request.taskId, call);
  return { record, sandboxId: record.id, execId: checkExecId(request.execId) };
}

function from(request: { fileDescriptor: number; offset: number }): { fd: 1 | 2; offset: number } {
  return { fd: request.fileDescriptor === 1 ? 2 : 1, offset: request.offset };
}

/** Output in messages of moderate size, never empty. */
async function* chunks(
  runtime: Runtime,
  target: { sandboxId: string; execId: string; fd: 1 | 2; offset: number },
  options: { signal: AbortSignal; onSkipped: (bytes: number) => void },
): AsyncIterable<Uint8Array> {
  try {
    for await (const data of runtime.readOutput(target, options)) {
      for (let at = 0; at < data.length; at += chunkBytes) yield data.subarray(at, at + chunkBytes);
    }
  } catch (error) {
    asExecError(target.execId)(error);
  }
}

/** The SDK logs it; names and values of the wire's own are percent-encoded. */
function droppedWarning(bytes: number): string {
  return encodeURIComponent(
    `dropped ${bytes} bytes of an exec's output: only the most recent portion of what nobody read is retained`,
  );
}

/** The client has its answer in any case: a keeper that cannot be told keeps the exec as long as its sandbox. */
async function exitRead({ runtime, log }: ServiceContext, exec: { sandboxId: string; execId: string }): Promise<void> {
  try {
    await runtime.exitRead(exec.sandboxId, exec.execId);
  } catch (error) {
    log.warn({ err: error, ...exec }, "the keeper could not be told that an exec's exit was read");
  }
}

/** "Not found" in the words of this service. */
function asExecError(execId: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof RuntimeError && error.code === "not_found") throw refuse.execNotFound(shown(execId));
    throw error;
  };
}

function toExit(exit: ExitStatus): TaskExecExit {
  return "code" in exit ? { code: exit.code } : { signal: exit.signal };
}
