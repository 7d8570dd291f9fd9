import { inBackground } from "@holdfast/std";
import type { Logger } from "pino";
import type { EngineOptions } from "../../config/options.ts";
import { refuse } from "../../errors.ts";
import { shown } from "../../ids.ts";
import { asUser } from "../../images/users.ts";
import type { TaskExecStartRequest } from "../../proto/messages.ts";
import type { ExecSpec, ExitStatus, Runtime } from "../../runtime/types.ts";
import type { Store } from "../../state/store.ts";
import type { Images } from "../image/images.ts";
import { refuseNotDone } from "../options.ts";
import { runAs, sandboxEnv, workdirOf } from "../sandbox/launch.ts";
import type { SandboxRecord, SandboxRecords } from "../sandbox/records.ts";
import { mustLive, type Sandboxes } from "../sandbox/sandboxes.ts";
import { checkArgs, checkPath, toPty } from "../sandbox/spec.ts";
import { checkVariables, type Secrets, type Variables } from "../secret/secrets.ts";

/** Exec id of a sandbox's main process in the runtime. */
export const mainExec = "main";

/** Where Modal keeps the helpers that its SDK runs, for `sandbox.filesystem`. */
const modalTools = "/__modal/.bin/";
/** They are not here: an answer in their own form, the only one of which the SDK shows the text. */
const noTools = [
  "/bin/sh",
  "-c",
  `echo '{"error_kind":"NotSupported","message":"The filesystem API is not supported by this engine; use exec"}' >&2; exit 1`,
];

export interface Execs {
  /** Starts a command; the same id again is the running one. */
  start(request: TaskExecStartRequest, signal: AbortSignal): Promise<void>;
  /** Somebody asks about an exec: it is not one that started for nobody. */
  claim(sandboxId: string, execId: string): void;
  /** Probes of readiness use the same path. */
  run(record: SandboxRecord, command: { execId: string; args: string[]; signal: AbortSignal }): Promise<ExitStatus>;
  /** After a start: takes up the idle watches of execs that were running. */
  recover(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ExecsContext {
  options: EngineOptions;
  store: Store;
  records: SandboxRecords;
  sandboxes: Sandboxes;
  images: Images;
  secrets: Secrets;
  runtime: Runtime;
  log: Logger;
}

/** Ids that name a file in the runtime's directories; `main` is the sandbox's own process. */
export function checkExecId(execId: string): string {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(execId) || execId === mainExec) {
    throw refuse.invalid(`Invalid exec ID '${shown(execId)}': use a UUID`);
  }
  return execId;
}

export function createExecs(context: ExecsContext): Execs {
  const { store, records, sandboxes, images, secrets, runtime, options, log } = context;
  const stop = new AbortController();
  const following = new Set<Promise<void>>();

  /** Counts an exec as activity until it ends; recorded, so that a restart does not forget it. */
  const follow = (sandboxId: string, execId: string) => {
    const idle = sandboxes.idle(sandboxId);
    if (!idle) return;
    idle.execStarted(execId);
    const done = runtime
      .waitExec(sandboxId, execId, { signal: stop.signal })
      .then(
        () => undefined,
        () => undefined, // Whatever ended the wait: when it is not our own stop, the exec counts as over.
      )
      .then(() => {
        if (stop.signal.aborted) return;
        idle.execEnded(execId);
        forgetRow(sandboxId, execId);
      })
      .finally(() => following.delete(done));
    following.add(done);
  };

  /** A row that stays only makes the next start look for an exec that has ended. */
  const forgetRow = (sandboxId: string, execId: string) => {
    try {
      store.run("DELETE FROM execs WHERE sandbox_id = ? AND exec_id = ?", sandboxId, execId);
    } catch (error) {
      log.warn({ err: error, sandboxId, execId }, "the end of an exec could not be written down");
    }
  };

  /** Execs that started when whoever asked for them had gone, and that nobody has asked about since. */
  const abandoned = new Map<string, NodeJS.Timeout>();
  const keyOf = (sandboxId: string, execId: string) => `${sandboxId}/${execId}`;
  const claim = (sandboxId: string, execId: string) => {
    const key = keyOf(sandboxId, execId);
    clearTimeout(abandoned.get(key));
    abandoned.delete(key);
  };
  /** The SDK asks again, under the same id, where only its connection was lost: until then it may run. */
  const abandon = (sandboxId: string, execId: string) => {
    claim(sandboxId, execId);
    const end = () => {
      abandoned.delete(keyOf(sandboxId, execId));
      log.info({ sandboxId, execId }, "an exec that started after its caller had gone is ended");
      inBackground(runtime.killExec(sandboxId, execId, 9), (error) => {
        log.debug({ err: error, sandboxId, execId }, "it had ended already");
      });
    };
    abandoned.set(keyOf(sandboxId, execId), setTimeout(end, options.abandonedExecMs));
  };

  const specOf = (record: SandboxRecord, command: { execId: string; args: string[]; env: Variables }): ExecSpec => {
    const image = images.built(record.spec.imageId);
    const user = runAs(image, options.honourImageUser);
    return {
      sandboxId: record.id,
      execId: command.execId,
      args: asUser(user, checkArgs(command.args)),
      env: { ...sandboxEnv(record, image, user), ...command.env },
      cwd: workdirOf(record, image),
      stdout: "pipe",
      stderr: "pipe",
    };
  };

  return {
    start: async (request, signal) => {
      const execId = checkExecId(request.execId);
      const record = mustLive(records.byTask(request.taskId));
      refuseNotDone("TaskExecStartRequest", request);
      if (request.ptyInfo) refuseNotDone("PTYInfo", request.ptyInfo);
      if (request.stdoutConfig > 1 || request.stderrConfig > 1) {
        throw refuse.unsupported("Sending one stream of an exec into the other");
      }
      if (request.commandArgs.length === 0) throw refuse.invalid("A command is needed");
      checkVariables(request.env);
      const named = secrets.merge(request.secretIds.map((secretId) => ({ secretId, env: null })));
      const env = { ...named, ...request.env, ...secrets.merge(request.secretSources) };
      const args = request.commandArgs[0]?.startsWith(modalTools) ? noTools : request.commandArgs;
      const spec = specOf(record, { execId, args, env });
      if (request.workdir) spec.cwd = checkPath(request.workdir, "workdir");
      if (request.timeoutSecs) spec.timeoutMs = request.timeoutSecs * 1000;
      spec.stdout = request.stdoutConfig === 1 ? "pipe" : "devnull";
      spec.stderr = request.stderrConfig === 0 ? "devnull" : "pipe";
      const pty = toPty(request.ptyInfo);
      if (pty) {
        spec.pty = pty;
        spec.env = { TERM: pty.term, COLORTERM: request.ptyInfo?.envColorterm || "truecolor", ...spec.env };
      }
      const idle = sandboxes.idle(record.id);
      if (idle) store.run("INSERT OR IGNORE INTO execs (sandbox_id, exec_id) VALUES (?, ?)", record.id, execId);
      claim(record.id, execId);
      try {
        await runtime.exec(spec, { signal });
      } catch (error) {
        if (idle) forgetRow(record.id, execId);
        throw error;
      }
      follow(record.id, execId);
      if (signal.aborted) abandon(record.id, execId);
    },
    claim,
    run: async (record, { execId, args, signal }) => {
      await runtime.exec(specOf(record, { execId, args, env: {} }), { signal });
      const exit = await runtime.waitExec(record.id, execId, { signal });
      await runtime.exitRead(record.id, execId);
      return exit;
    },
    recover: () => {
      for (const row of store.all("SELECT sandbox_id, exec_id FROM execs")) {
        const [sandboxId, execId] = [String(row.sandbox_id), String(row.exec_id)];
        if (sandboxes.idle(sandboxId)) follow(sandboxId, execId);
        else store.run("DELETE FROM execs WHERE sandbox_id = ?", sandboxId);
      }
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      for (const timer of abandoned.values()) clearTimeout(timer);
      await Promise.all(following);
    },
  };
}
