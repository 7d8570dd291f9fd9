import { readFileSync } from "node:fs";
import { join } from "node:path";

const ANNOTATION = "run.oci.seccomp_bpf_data";

interface Config {
  annotations?: Record<string, string>;
  linux?: { seccomp?: unknown };
}

/**
 * Compiling a seccomp profile costs crun 15 ms of each create. It leaves the compiled filter in its state directory and
 * takes it back as an annotation, so each profile is compiled once. Other runtimes compile every time.
 */
export class SeccompCache {
  readonly #compiled = new Map<string, string>();
  readonly #ociState: string;
  readonly #enabled: boolean;

  constructor(options: { ociState: string; kind: string }) {
    this.#ociState = options.ociState;
    this.#enabled = options.kind === "crun";
  }

  /** The config with the compiled filter, once there is one. The profile stays in it. */
  apply(config: unknown): unknown {
    const filter = this.#compiled.get(keyOf(config));
    if (filter === undefined) return config;
    const known = config as Config;
    return { ...known, annotations: { ...known.annotations, [ANNOTATION]: filter } };
  }

  /** Remembers what the runtime compiled for a sandbox that has started with this config. */
  learn(config: unknown, sandboxId: string): void {
    const key = keyOf(config);
    if (!this.#enabled || this.#compiled.has(key)) return;
    try {
      const filter = readFileSync(join(this.#ociState, sandboxId, "seccomp.bpf"));
      if (filter.length > 0) this.#compiled.set(key, filter.toString("base64"));
    } catch {
      // A runtime that keeps no compiled filter, or a sandbox that has ended already: the next one compiles again.
    }
  }
}

function keyOf(config: unknown): string {
  return JSON.stringify((config as Config).linux?.seccomp ?? null);
}
