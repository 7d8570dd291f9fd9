import { accessSync, constants, statSync } from "node:fs";
import type { Logger } from "pino";
import type { EngineOptions } from "./config/options.ts";
import { probeNetwork } from "./network/index.ts";
import { probeIsolation } from "./runtime/index.ts";

/** The machine cannot do what sandboxes need. */
export class MachineError extends Error {
  override readonly name = "MachineError";
  readonly what: string;
  readonly why: string;
  readonly todo: string;

  constructor(parts: { what: string; why: string; todo: string }) {
    super(`${parts.what} ${parts.why}`);
    this.what = parts.what;
    this.why = parts.why;
    this.todo = parts.todo;
  }
}

/** Tries everything that sandboxes will need, at the engine's start and not at somebody's first message. About 200 ms. */
export async function checkMachine(options: EngineOptions, log: Logger): Promise<void> {
  const [isolation, network] = await Promise.all([
    probeIsolation({ directory: options.dataDir, ociRuntime: options.ociRuntime }),
    probeNetwork(),
  ]);
  for (const problem of isolation.problems) {
    if (problem.fatal) throw new MachineError(problem);
    log.warn({ part: "runtime", why: problem.why, todo: problem.todo }, problem.what);
  }
  const failed = network.checks.find((check) => !check.ok);
  if (!network.ok && failed !== undefined) {
    throw new MachineError({
      what: `Sandboxes cannot be given a network: ${failed.name} does not work.`,
      why: failed.detail,
      todo: failed.remedy ?? "Allow it, then start again.",
    });
  }
  if (!["/usr/bin/mmdebstrap", "/usr/local/bin/mmdebstrap"].some(isProgram)) {
    throw new MachineError({
      what: "mmdebstrap is missing.",
      why: "The engine builds the sandboxes' base image with it.",
      todo: "apt-get install mmdebstrap",
    });
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // Not there, or not ours to run: the same to the caller.
    return false;
  }
}
