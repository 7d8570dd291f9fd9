import { mkdirSync, readdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Disks } from "../disk/disks.ts";
import type { DiskProbe } from "../disk/types.ts";
import { DiskReserve, isNoRoom } from "../disk-reserve.ts";
import { AccountGroups } from "./account-groups.ts";
import type { AccountLimits } from "./account-limits.ts";
import { removeCgroup } from "./cgroup.ts";
import { Children } from "./children.ts";
import { Leftovers, runSteps } from "./ending.ts";
import { IdMapCache } from "./id-maps.ts";
import { KeeperError } from "./keeper-error.ts";
import { lanes } from "./lanes.ts";
import type { MachineWatch } from "./machine-watch.ts";
import type { OciCommand } from "./oci-command.ts";
import { OutputLedger } from "./output-ledger.ts";
import { isSafeName, type Layout } from "./paths.ts";
import {
  type AttachResult,
  type HelloResult,
  type KeeperEvent,
  type OutputLimits,
  PROTOCOL_VERSION,
  type Request,
} from "./protocol.ts";
import { type KeeperContext, Sandbox } from "./sandbox.ts";
import { SeccompCache } from "./seccomp-cache.ts";
import { Trash } from "./trash.ts";

/** Each lost sandbox takes a call of the runtime to end. */
const RECOVERY_LANES = 4;
const TRASH_WAIT_MS = 5_000;

export interface KeeperOptions {
  layout: Layout;
  oci: OciCommand;
  /** What this machine's disk can do about limits, and the trees that are open. */
  disk: DiskProbe;
  disks: Disks;
  watch: MachineWatch;
  /** `crun` or `runc`. */
  kind: string;
  /** Of one account, all its sandboxes together. */
  limits: AccountLimits;
  /** Name and version of the OCI runtime, for whoever asks. */
  runtime: string;
  emit(event: KeeperEvent): void;
  warn(message: string): void;
  /** Called after `shutdown` has cleaned up. */
  onShutdown(): Promise<void>;
}

/** All sandboxes of one engine, and the answers to its requests. */
export class Keeper {
  readonly #options: KeeperOptions;
  readonly #context: KeeperContext;
  readonly #sandboxes = new Map<string, Sandbox>();
  #closing = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
    const { layout, oci, emit, warn, disks, watch } = options;
    const reserve = new DiskReserve({ path: layout.reserve, bytes: 0, tell: warn });
    this.#context = {
      layout,
      oci,
      emit,
      warn,
      disks,
      watch,
      trash: new Trash(layout.trash, warn),
      leftovers: new Leftovers(warn),
      withRoom: async (write) => {
        try {
          return await write();
        } catch (error) {
          if (!isNoRoom(error) || !reserve.giveUp()) throw error;
          return await write();
        }
      },
      children: new Children(oci.live, warn),
      idMaps: new IdMapCache({ joinNamespace: options.kind === "crun", limits: options.limits }),
      groups: new AccountGroups(layout.cgroupParent),
      outputs: new OutputLedger(),
      seccomp: new SeccompCache({ ociState: layout.ociState, kind: options.kind }),
    };
  }

  /**
   * Takes over what an earlier keeper left: ended sandboxes stay readable, others are ended as lost, wherever a trace
   * of them is found. Returns at once; questions about each wait until it is known.
   */
  recover(): void {
    const { layout, warn } = this.#options;
    for (const dir of [layout.sandboxes, layout.trash, layout.ociState]) {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
    }
    this.#context.trash.empty();
    const found = [...readdirSync(layout.sandboxes), ...readdirSync(layout.ociState), ...this.#cgroups()];
    const turn = lanes(RECOVERY_LANES);
    for (const id of new Set(found)) {
      if (!isSafeName(id)) continue;
      const sandbox = new Sandbox(id, this.#context);
      this.#sandboxes.set(id, sandbox);
      sandbox.recover(turn).catch((error: unknown) => warn(`Sandbox ${id} could not be recovered: ${String(error)}`));
    }
  }

  #cgroups(): string[] {
    try {
      return this.#context.groups.found();
    } catch (error) {
      this.#options.warn(`The cgroups of lost sandboxes could not be listed: ${String(error)}`);
      return [];
    }
  }

  async handle(request: Request, payload: Uint8Array): Promise<unknown> {
    switch (request.op) {
      case "hello":
        return this.#hello(request.output);
      case "create":
        return this.#create(request);
      case "list":
        return [...this.#sandboxes.keys()];
      case "state":
        return this.#get(request.sandboxId).known();
      case "destroy":
        return this.#sandboxes.get(request.sandboxId)?.destroy();
      case "forget":
        return this.#forget(request.sandboxId);
      case "exec":
        return this.#get(request.sandboxId).exec(request);
      case "execState":
        return this.#get(request.sandboxId).execSnapshot(request.execId);
      case "attach":
        return { base: await this.#get(request.sandboxId).attach(request.execId, request) } satisfies AttachResult;
      case "acknowledge":
        return this.#get(request.sandboxId).acknowledge(request.execId, request);
      case "stdin":
        return (await this.#living(request)).writeStdin(request.offset, payload, request.eof);
      case "kill":
        return (await this.#living(request)).kill(request.signal);
      case "resize":
        return (await this.#living(request)).resize(request);
      case "shutdown":
        return this.shutdown();
      default:
        throw new KeeperError("invalid", "This keeper is older than the engine and does not know the request.");
    }
  }

  #hello(output: OutputLimits | undefined): HelloResult {
    if (output !== undefined) this.#context.outputs.limits = output;
    const { runtime, disk } = this.#options;
    return { version: PROTOCOL_VERSION, pid: process.pid, runtime, disk, acknowledges: true };
  }

  async #create(request: Extract<Request, { op: "create" }>): Promise<void> {
    const { sandboxId } = request;
    if (this.#closing) throw new KeeperError("unavailable", "The keeper is shutting down.");
    if (!isSafeName(sandboxId)) {
      throw new KeeperError("invalid", "A sandbox id is 1 to 128 letters, digits, dots, dashes or underscores.");
    }
    if (this.#sandboxes.has(sandboxId)) throw new KeeperError("already_exists", `Sandbox ${sandboxId} exists.`);
    this.#options.watch.admit();
    const sandbox = new Sandbox(sandboxId, this.#context);
    this.#sandboxes.set(sandboxId, sandbox);
    try {
      await sandbox.create(request);
    } catch (error) {
      this.#sandboxes.delete(sandboxId);
      await sandbox.forget();
      throw error;
    }
  }

  async #forget(sandboxId: string): Promise<void> {
    const sandbox = this.#sandboxes.get(sandboxId);
    if (sandbox === undefined) return;
    await sandbox.forget();
    this.#sandboxes.delete(sandboxId);
  }

  #get(sandboxId: string): Sandbox {
    const sandbox = this.#sandboxes.get(sandboxId);
    if (sandbox === undefined) throw new KeeperError("not_found", `There is no sandbox ${sandboxId}.`);
    return sandbox;
  }

  async #living(request: { sandboxId: string; execId: string }) {
    const sandbox = this.#get(request.sandboxId);
    const found = sandbox.process(request.execId);
    if (found !== undefined) return found;
    // Throws not_found when it never was.
    await sandbox.execSnapshot(request.execId);
    throw new KeeperError("not_running", `Exec ${request.execId} has ended.`);
  }

  /** Ends every sandbox and leaves nothing on the machine but the ended sandboxes' spools. */
  async shutdown(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    const { layout, warn, disks } = this.#options;
    const ends = await Promise.allSettled([...this.#sandboxes.values()].map((sandbox) => sandbox.destroy()));
    for (const end of ends) if (end.status === "rejected") warn(String(end.reason));
    await this.#context.leftovers.again();
    await runSteps([{ name: "removing the cgroup of all", run: () => removeCgroup(layout.cgroupParent) }], warn);
    // What is not removed by then is left to the next keeper.
    await Promise.race([this.#context.trash.settled(), delay(TRASH_WAIT_MS, undefined, { ref: false })]);
    await disks.shutdown().catch((error: unknown) => warn(`Prepared images could not be removed: ${String(error)}`));
    await this.#options.onShutdown();
  }
}
