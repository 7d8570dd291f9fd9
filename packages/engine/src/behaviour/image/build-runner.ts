import { timeoutSignal } from "@holdfast/std";
import type { MachineSettings } from "../../config/environment.ts";
import type { EngineOptions } from "../../config/options.ts";
import { EngineError } from "../../errors.ts";
import { buildImage } from "../../images/builder.ts";
import type { LayerStore } from "../../images/layer-store.ts";
import type { Network } from "../../network/types.ts";
import type { Runtime } from "../../runtime/types.ts";
import { hostIdBase } from "../../state/id-ranges.ts";
import type { Store } from "../../state/store.ts";
import type { Secrets } from "../secret/secrets.ts";
import type { Images, RunBuild } from "./images.ts";

export interface BuildRunner extends AsyncDisposable {
  run: RunBuild;
  /** Set once the images exist: a build starts from other images. */
  images: Images | undefined;
}

export interface BuildRunnerContext {
  options: EngineOptions;
  store: Store;
  layers: LayerStore;
  machine: MachineSettings;
  secrets: Secrets;
  runtime: Runtime;
  network: Network;
}

/** Failures that a client can do something about, in words made for it. */
const told = new Set(["BuildError", "CommandError", "NetworkError", "RuntimeError"]);

/** Runs builds with this machine's settings; disposing it cuts those under way. */
export function createBuildRunner(context: BuildRunnerContext): BuildRunner {
  const { options, store, layers, machine, secrets, runtime, network } = context;
  const stop = new AbortController();
  const running = new Set<Promise<unknown>>();

  const build: RunBuild = async (_imageId, request, { onLine, signal }) => {
    const deadline = timeoutSignal(options.buildTimeoutMs);
    try {
      const bases = Object.fromEntries(
        Object.entries(request.baseIds).flatMap(([tag, id]) =>
          runner.images ? [[tag, runner.images.usable(id)]] : [],
        ),
      );
      const secretEnv = secrets.merge(request.secretIds.map((secretId) => ({ secretId, env: null })));
      const built = await buildImage(
        {
          commands: request.commands,
          bases,
          buildArgs: request.buildArgs,
          secretEnv,
          secretsFingerprint: secrets.fingerprint(request.secretIds),
          ...(request.forceNonce === undefined ? {} : { forceNonce: request.forceNonce }),
        },
        {
          layers,
          machine,
          runtime,
          network,
          registry: options.registry,
          hostEnv: { ...machine.proxies, ...machine.hostEnv },
          hostIdBase: hostIdBase(store, "image-builder"),
          privateNetworks: options.buildPrivateNetworks,
          onLine,
          signal: AbortSignal.any([deadline, stop.signal, signal]),
        },
      );
      return { built };
    } catch (error) {
      if (deadline.aborted) {
        return { status: "timed_out", error: `the build took longer than ${options.buildTimeoutMs / 1000} s` };
      }
      if (stop.signal.aborted || signal.aborted) return { status: "interrupted" };
      if (error instanceof EngineError || (error instanceof Error && told.has(error.name))) {
        onLine(error.message);
        return { status: "failed", error: error.message };
      }
      throw error;
    }
  };

  const runner: BuildRunner = {
    images: undefined,
    run: (imageId, request, told) => {
      const work = build(imageId, request, told);
      const done = work.then(
        () => undefined,
        () => undefined, // Its caller hears of it.
      );
      running.add(done);
      done.finally(() => running.delete(done)).catch(() => undefined);
      return work;
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error("the engine stops"));
      await Promise.all(running);
    },
  };
  return runner;
}
