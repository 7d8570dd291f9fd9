import { AppError } from "@holdfast/protocol";
import { Recent, withDeadline } from "@holdfast/std";
import type { App, ContainerProcess, Image, Logger, ModalClient, Sandbox } from "modal";
import { createModalClient } from "../../config/modal-env.ts";
import {
  type ExecOptions,
  type ImageTemplate,
  ProviderAwayError,
  type RunningExec,
  type SandboxHandle,
  type SandboxProvider,
  type SandboxSpec,
} from "../../ports/sandbox-provider.ts";
import { tuneConnections } from "./connections.ts";

export interface ModalProviderOptions {
  serverUrl: string;
  tokenId: string;
  tokenSecret: string;
  appName: string;
  logger: Logger;
  /** For tests: sees, or changes, every call. */
  wrapClient?: (client: ModalClient) => ModalClient;
}

const buildTimeoutMs = 30 * 60 * 1000;
const createTimeoutMs = 3 * 60 * 1000;
const callTimeoutMs = 30 * 1000;

/** Modal, or the engine: the official SDK against whichever address it is given. */
export class ModalProvider implements SandboxProvider {
  readonly #client: ModalClient;
  readonly #appName: string;
  /** Spares a look-up. */
  readonly #images = new Recent<string, Image>(1_000);
  #app: Promise<App> | undefined;

  constructor(options: ModalProviderOptions) {
    tuneConnections(options.logger);
    const client = createModalClient(options);
    this.#client = options.wrapClient?.(client) ?? client;
    this.#appName = options.appName;
  }

  /** Layer by layer: the SDK tells nothing of a build but its end, so this is what progress can be shown of. */
  async buildImage(
    template: ImageTemplate,
    { signal, onLayer }: Parameters<SandboxProvider["buildImage"]>[1],
  ): Promise<string> {
    const app = await this.#getApp(signal);
    const total = template.layers.length + 1;
    let recipe = this.#client.images.fromRegistry(template.base);
    onLayer(0, total, `Base system ${template.base}`);
    let built = await bounded(() => recipe.build(app), { what: "the base image", timeoutMs: buildTimeoutMs, signal });
    for (const [index, layer] of template.layers.entries()) {
      onLayer(index + 1, total, layer.title);
      recipe = recipe.dockerfileCommands([...layer.commands]);
      const image = recipe;
      built = await bounded(() => image.build(app), { what: layer.title, timeoutMs: buildTimeoutMs, signal });
    }
    onLayer(total, total, "Done");
    this.#images.set(built.imageId, built);
    return built.imageId;
  }

  async create(
    spec: SandboxSpec,
    signal: AbortSignal,
    onLate: (late: SandboxHandle) => Promise<void>,
  ): Promise<SandboxHandle> {
    const client = this.#client;
    const create = async () => {
      const app = await this.#getApp(signal);
      const image = this.#images.get(spec.imageId) ?? (await client.images.fromId(spec.imageId));
      const volumes = await Promise.all(
        Object.entries(spec.volumes).map(
          async ([path, name]) => [path, await client.volumes.fromName(name, { createIfMissing: true })] as const,
        ),
      );
      return await client.sandboxes.create(app, image, {
        volumes: Object.fromEntries(volumes),
        tags: { ...spec.tags },
        env: { ...spec.env },
        timeoutMs: spec.timeoutMs,
        memoryMiB: spec.memoryMiB,
        memoryLimitMiB: spec.memoryLimitMiB,
        cpu: spec.cpu,
        cpuLimit: spec.cpuLimit,
        outboundDomainAllowlist: [...spec.domains],
      });
    };
    const creating = create();
    try {
      const sandbox = await bounded(() => creating, { what: "the sandbox", timeoutMs: createTimeoutMs, signal });
      return new ModalSandbox(client, sandbox);
    } catch (error) {
      // Given up while it was being made: what still comes of it is not left behind. A failure is the same again.
      creating.then((late) => onLate(new ModalSandbox(client, late))).catch(() => undefined);
      throw error;
    }
  }

  async find(tags: Readonly<Record<string, string>>, signal: AbortSignal): Promise<SandboxHandle[]> {
    const list = async () => {
      const app = await this.#getApp(signal);
      const found: SandboxHandle[] = [];
      for await (const sandbox of this.#client.sandboxes.list({ appId: app.appId, tags: { ...tags } })) {
        found.push(new ModalSandbox(this.#client, sandbox));
      }
      return found;
    };
    return await bounded(list, { what: "the list of sandboxes", timeoutMs: callTimeoutMs, signal });
  }

  async tags(handle: SandboxHandle, signal: AbortSignal): Promise<Record<string, string>> {
    const sandbox = await this.#client.sandboxes.fromId(handle.id);
    return await bounded(() => sandbox.getTags(), { what: "a sandbox's tags", timeoutMs: callTimeoutMs, signal });
  }

  async look(sandboxId: string, signal: AbortSignal): Promise<"running" | "ended" | "missing"> {
    const sandbox = await this.#client.sandboxes.fromId(sandboxId);
    try {
      const poll = () => sandbox.poll();
      const code = await bounded(poll, { what: "a sandbox's state", timeoutMs: callTimeoutMs, signal });
      return code === null ? "running" : "ended";
    } catch (error) {
      if (isNotFound(error)) return "missing";
      throw error;
    } finally {
      sandbox.detach();
    }
  }

  async deleteVolume(name: string, signal: AbortSignal): Promise<void> {
    const remove = () => this.#client.volumes.delete(name, { allowMissing: true });
    await bounded(remove, { what: "a volume's deletion", timeoutMs: callTimeoutMs, signal });
  }

  async ping(signal: AbortSignal): Promise<void> {
    // Not the remembered app: that would answer for an engine that is gone.
    const ask = () => this.#client.apps.fromName(this.#appName, { createIfMissing: true });
    await bounded(ask, { what: "an answer of the engine", timeoutMs: 5_000, signal });
  }

  async #getApp(signal: AbortSignal): Promise<App> {
    this.#app ??= this.#client.apps.fromName(this.#appName, { createIfMissing: true });
    const app = this.#app;
    try {
      return await bounded(() => app, { what: "the app", timeoutMs: callTimeoutMs, signal });
    } catch (error) {
      // A failure is not remembered: the engine may be there next time.
      if (this.#app === app) this.#app = undefined;
      throw error;
    }
  }
}

class ModalSandbox implements SandboxHandle {
  readonly id: string;
  readonly #client: ModalClient;
  readonly #sandbox: Sandbox;

  constructor(client: ModalClient, sandbox: Sandbox) {
    this.id = sandbox.sandboxId;
    this.#client = client;
    this.#sandbox = sandbox;
  }

  async exec(args: readonly string[], { secrets, timeoutMs, signal }: ExecOptions): Promise<RunningExec> {
    const start = async () => {
      const secret = secrets === undefined ? undefined : await this.#client.secrets.fromObject({ ...secrets });
      return await this.#sandbox.exec([...args], {
        mode: "binary",
        ...(secret === undefined ? {} : { secrets: [secret] }),
        ...(timeoutMs === undefined ? {} : { timeoutMs: Math.ceil(timeoutMs / 1000) * 1000 }),
      });
    };
    const what = `the start of ${args.slice(0, 3).join(" ")}`;
    return new ModalExec(await bounded(start, { what, timeoutMs: callTimeoutMs, signal }));
  }

  async waitEnd(signal: AbortSignal): Promise<string | undefined> {
    const day = 24 * 60 * 60 * 1000;
    try {
      await bounded(() => this.#sandbox.wait(), { what: "the sandbox's end", timeoutMs: 7 * day, signal });
      return await this.#whyEnded(signal);
    } catch (error) {
      // One that the provider does not know any more has ended.
      if (!isNotFound(error)) throw error;
      return undefined;
    }
  }

  /** The SDK's own methods give the code alone. */
  async #whyEnded(signal: AbortSignal): Promise<string | undefined> {
    const { cpClient } = this.#client;
    const asked = { sandboxId: this.id, timeout: 0 };
    const ask = () => (isV1Id(this.id) ? cpClient.sandboxWait(asked) : cpClient.sandboxWaitV2(asked));
    const options = { what: "why the sandbox ended", timeoutMs: 5_000, signal };
    // That it has ended is known; without the reason everything goes on.
    const answer = await bounded(ask, options).catch(() => undefined);
    const said = answer?.result?.exception ?? "";
    return said === "" ? undefined : said;
  }

  async isRunning(signal: AbortSignal): Promise<boolean> {
    const poll = () => this.#sandbox.poll();
    try {
      return (await bounded(poll, { what: "the sandbox's state", timeoutMs: callTimeoutMs, signal })) === null;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async terminate(signal: AbortSignal): Promise<void> {
    const end = () => this.#sandbox.terminate();
    try {
      await bounded(end, { what: "the sandbox's end", timeoutMs: callTimeoutMs, signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  detach(): void {
    this.#sandbox.detach();
  }
}

class ModalExec implements RunningExec {
  readonly stdout: AsyncIterable<Uint8Array>;
  readonly stderr: AsyncIterable<Uint8Array>;
  readonly #process: ContainerProcess<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  constructor(process: ContainerProcess<Uint8Array>) {
    this.#process = process;
    this.#writer = process.stdin.getWriter();
    // The writer's own promise rejects when the process ends first; who writes gets the error by the write.
    this.#writer.closed.catch(() => undefined);
    this.stdout = process.stdout;
    this.stderr = process.stderr;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#writer.write(bytes);
  }

  async closeStdin(): Promise<void> {
    await this.#writer.close();
  }

  async wait(signal: AbortSignal): Promise<number> {
    const hour = 60 * 60 * 1000;
    return await bounded(() => this.#process.wait(), { what: "the end of a process", timeoutMs: hour, signal });
  }
}

/** The SDK takes no signals: what it does not give up by itself is at least not waited for any longer. */
async function bounded<T>(
  work: () => Promise<T>,
  options: { what: string; timeoutMs: number; signal: AbortSignal },
): Promise<T> {
  return await withDeadline(() => {
    const promise = work().catch((error: unknown) => {
      throw isUnavailable(error)
        ? new ProviderAwayError(`The engine does not answer (${options.what})`, { cause: error })
        : error;
    });
    // After the deadline nobody awaits it any more.
    promise.catch(() => undefined);
    return promise;
  }, options);
}

/** gRPC's code for a peer that cannot be reached. */
function isUnavailable(error: unknown): boolean {
  const unavailable = 14;
  return error instanceof Error && "code" in error && error.code === unavailable;
}

/** As the SDK tells them apart: other ids are asked for by other calls. */
function isV1Id(sandboxId: string): boolean {
  return /^sb-[0-9A-Za-z]{22}$/.test(sandboxId);
}

/** Some calls of the SDK pass the wire's own error on. */
function isNotFound(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const notFound = 5;
  return error.name === "NotFoundError" || ("code" in error && error.code === notFound);
}

/** Where no engine is configured. */
export const noProvider: SandboxProvider = {
  buildImage: () => Promise.reject(missing()),
  create: () => Promise.reject(missing()),
  find: () => Promise.resolve([]),
  tags: () => Promise.resolve({}),
  look: () => Promise.reject(missing()),
  deleteVolume: () => Promise.reject(missing()),
  ping: () => Promise.reject(missing()),
};

function missing(): AppError {
  return new AppError("sandbox_unavailable", { detail: "No engine is configured" });
}
