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

/** Commands in sandboxes. What runs counts as activity, also after a restart of the engine. */
export class Execs implements AsyncDisposable {
  readonly #context: ExecsContext;
  readonly #stop = new AbortController();
  readonly #following = new Set<Promise<void>>();
  /** Execs that started when whoever asked for them had gone, and that nobody has asked about since. */
  readonly #abandoned = new Map<string, NodeJS.Timeout>();

  constructor(context: ExecsContext) {
    this.#context = context;
  }

  /** Starts a command; the same id again is the running one. */
  async start(request: TaskExecStartRequest, signal: AbortSignal): Promise<void> {
    const { store, records, sandboxes, runtime } = this.#context;
    const execId = checkExecId(request.execId);
    const record = mustLive(records.byTask(request.taskId));
    refuseWhatIsNotDone(request);
    const spec = this.#specAsAsked(record, execId, request);
    const idle = sandboxes.idle(record.id);
    if (idle) store.run("INSERT OR IGNORE INTO execs (sandbox_id, exec_id) VALUES (?, ?)", record.id, execId);
    this.claim(record.id, execId);
    try {
      await runtime.exec(spec, { signal });
    } catch (error) {
      if (idle) this.#forgetRow(record.id, execId);
      throw error;
    }
    this.#follow(record.id, execId);
    if (signal.aborted) this.#abandon(record.id, execId);
  }

  /** Somebody asks about an exec: it is not one that started for nobody. */
  claim(sandboxId: string, execId: string): void {
    const key = keyOf(sandboxId, execId);
    clearTimeout(this.#abandoned.get(key));
    this.#abandoned.delete(key);
  }

  /** Probes of readiness use the same path. */
  async run(
    record: SandboxRecord,
    { execId, args, signal }: { execId: string; args: string[]; signal: AbortSignal },
  ): Promise<ExitStatus> {
    const { runtime } = this.#context;
    await runtime.exec(this.#specOf(record, { execId, args, env: {} }), { signal });
    const exit = await runtime.waitExec(record.id, execId, { signal });
    await runtime.exitRead(record.id, execId);
    return exit;
  }

  /** After a start: takes up the idle watches of execs that were running. */
  recover(): void {
    const { store, sandboxes } = this.#context;
    for (const row of store.all("SELECT sandbox_id, exec_id FROM execs")) {
      const [sandboxId, execId] = [String(row.sandbox_id), String(row.exec_id)];
      if (sandboxes.idle(sandboxId)) this.#follow(sandboxId, execId);
      else store.run("DELETE FROM execs WHERE sandbox_id = ?", sandboxId);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const timer of this.#abandoned.values()) clearTimeout(timer);
    await Promise.all(this.#following);
  }

  #specAsAsked(record: SandboxRecord, execId: string, request: TaskExecStartRequest): ExecSpec {
    const { secrets } = this.#context;
    checkVariables(request.env);
    const named = secrets.merge(request.secretIds.map((secretId) => ({ secretId, env: null })));
    const env = { ...named, ...request.env, ...secrets.merge(request.secretSources) };
    const args = request.commandArgs[0]?.startsWith(modalTools) ? noTools : request.commandArgs;
    const spec = this.#specOf(record, { execId, args, env });
    if (request.workdir) spec.cwd = checkPath(request.workdir, "workdir");
    if (request.timeoutSecs) spec.timeoutMs = request.timeoutSecs * 1000;
    spec.stdout = request.stdoutConfig === 1 ? "pipe" : "devnull";
    spec.stderr = request.stderrConfig === 0 ? "devnull" : "pipe";
    const pty = toPty(request.ptyInfo);
    if (pty) {
      spec.pty = pty;
      spec.env = { TERM: pty.term, COLORTERM: request.ptyInfo?.envColorterm || "truecolor", ...spec.env };
    }
    return spec;
  }

  #specOf(record: SandboxRecord, command: { execId: string; args: string[]; env: Variables }): ExecSpec {
    const { images, options } = this.#context;
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
  }

  /** Counts an exec as activity until it ends; recorded, so that a restart does not forget it. */
  #follow(sandboxId: string, execId: string): void {
    const { runtime, sandboxes } = this.#context;
    const idle = sandboxes.idle(sandboxId);
    if (!idle) return;
    idle.execStarted(execId);
    const done = runtime
      .waitExec(sandboxId, execId, { signal: this.#stop.signal })
      .then(
        () => undefined,
        () => undefined, // Whatever ended the wait: when it is not our own stop, the exec counts as over.
      )
      .then(() => {
        if (this.#stop.signal.aborted) return;
        idle.execEnded(execId);
        this.#forgetRow(sandboxId, execId);
      })
      .finally(() => this.#following.delete(done));
    this.#following.add(done);
  }

  /** A row that stays only makes the next start look for an exec that has ended. */
  #forgetRow(sandboxId: string, execId: string): void {
    const { store, log } = this.#context;
    try {
      store.run("DELETE FROM execs WHERE sandbox_id = ? AND exec_id = ?", sandboxId, execId);
    } catch (error) {
      log.warn({ err: error, sandboxId, execId }, "the end of an exec could not be written down");
    }
  }

  /** The SDK asks again, under the same id, where only its connection was lost: until then it may run. */
  #abandon(sandboxId: string, execId: string): void {
    const { runtime, options, log } = this.#context;
    this.claim(sandboxId, execId);
    const end = () => {
      this.#abandoned.delete(keyOf(sandboxId, execId));
      log.info({ sandboxId, execId }, "an exec that started after its caller had gone is ended");
      inBackground(runtime.killExec(sandboxId, execId, 9), (error) => {
        log.debug({ err: error, sandboxId, execId }, "it had ended already");
      });
    };
    this.#abandoned.set(keyOf(sandboxId, execId), setTimeout(end, options.abandonedExecMs));
  }
}

const keyOf = (sandboxId: string, execId: string) => `${sandboxId}/${execId}`;

function refuseWhatIsNotDone(request: TaskExecStartRequest): void {
  refuseNotDone("TaskExecStartRequest", request);
  if (request.ptyInfo) refuseNotDone("PTYInfo", request.ptyInfo);
  if (request.stdoutConfig > 1 || request.stderrConfig > 1) {
    throw refuse.unsupported("Sending one stream of an exec into the other");
  }
  if (request.commandArgs.length === 0) throw refuse.invalid("A command is needed");
}
