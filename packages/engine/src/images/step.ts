import { rmSync } from "node:fs";
import { ulid } from "../ids.ts";
import type { Network } from "../network/types.ts";
import type { Runtime } from "../runtime/types.ts";
import { settingsDir } from "./build-settings.ts";
import { lineSplitter } from "./command.ts";
import { pathInside } from "./inside.ts";
import { unshiftIds } from "./unshift.ts";

/** A command to run in a sandbox of its own, writing into a new layer. */
export interface Step {
  args: string[];
  env: Record<string, string>;
  cwd: string;
  files: { path: string; content: string }[];
  /** The image so far, the topmost first. */
  layers: string[];
}

export interface StepContext {
  runtime: Runtime;
  network: Network;
  /** Range of the image builder. */
  hostIdBase: number;
  /** CIDRs of private networks that steps may reach. */
  privateNetworks: string[];
  onLine: (line: string) => void;
  signal: AbortSignal;
}

/** Compilers with a process per core and file have enough of these; a fork bomb does not reach the machine. */
const maxProcesses = 8_192;

/** Runs one step; resolves with its exit code (128 + signal) when nothing of it runs any more and the layer has plain ids. */
export async function runStep(step: Step, directory: string, context: StepContext): Promise<number> {
  const { runtime, network, signal } = context;
  const sandboxId = `bld-${ulid()}`;
  let code: number;
  try {
    const net = await network.attach(sandboxId, { kind: "public", cidrs: context.privateNetworks });
    await runtime.create(
      {
        sandboxId,
        layers: step.layers,
        upperDir: directory,
        hostIdBase: context.hostIdBase,
        args: step.args,
        env: step.env,
        cwd: step.cwd,
        mounts: [],
        symlinks: [],
        limits: { pids: maxProcesses },
        networkNamespace: net.namespacePath,
        hostname: "build",
        files: [
          { path: "/etc/resolv.conf", content: net.resolvConf },
          { path: "/etc/hosts", content: net.hosts },
          ...step.files,
        ],
      },
      { signal },
    );
    const [state] = await Promise.all([
      runtime.waitSandbox(sandboxId, { signal }),
      pump(runtime, { sandboxId, fd: 1 }, context),
      pump(runtime, { sandboxId, fd: 2 }, context),
    ]);
    signal.throwIfAborted();
    const exit = state.exit ?? { code: 255 };
    code = "code" in exit ? exit.code : 128 + exit.signal;
  } finally {
    await runtime.destroy(sandboxId, "terminated");
    await runtime.forget(sandboxId);
    await network.detach(sandboxId);
  }
  const settings = pathInside(directory, settingsDir);
  if (settings !== undefined) rmSync(settings, { recursive: true, force: true });
  await unshiftIds(directory, context.hostIdBase);
  return code;
}

async function pump(runtime: Runtime, from: { sandboxId: string; fd: 1 | 2 }, context: StepContext): Promise<void> {
  const split = lineSplitter(context.onLine);
  const target = { ...from, execId: "main", offset: 0 };
  for await (const chunk of runtime.readOutput(target, { signal: context.signal })) split.write(chunk);
  split.end();
}
