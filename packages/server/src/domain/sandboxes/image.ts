import { AppError, isAppError } from "@holdfast/protocol";
import type { Logger } from "pino";
import type { ImageTemplate, SandboxProvider } from "../../ports/sandbox-provider.ts";

export interface ImageProgress {
  state: "building" | "ready" | "failed";
  detail: string | null;
  /** Layers. */
  done: number;
  total: number | null;
}

interface SandboxImageDeps {
  provider: SandboxProvider;
  template: () => Promise<ImageTemplate>;
  logger: Logger;
  /** Aborts a build when the server stops. */
  signal: AbortSignal;
}

/** The one image of all sandboxes: built when the server starts, again when that failed and a turn needs it. */
export class SandboxImage {
  readonly #deps: SandboxImageDeps;
  readonly #watchers = new Set<(progress: ImageProgress) => void>();
  #building: Promise<string> | undefined;
  progress: ImageProgress = { state: "building", detail: null, done: 0, total: null };

  constructor(deps: SandboxImageDeps) {
    this.#deps = deps;
  }

  /** The image's id. Builds that run are joined; `onProgress` is told at once and at every change. */
  async get(onProgress?: (progress: ImageProgress) => void): Promise<string> {
    const watch = onProgress ?? (() => undefined);
    this.#building ??= this.#build();
    this.#watchers.add(watch);
    watch(this.progress);
    try {
      return await this.#building;
    } finally {
      this.#watchers.delete(watch);
    }
  }

  async #build(): Promise<string> {
    const { provider, template, logger, signal } = this.#deps;
    this.#tell({ state: "building", detail: null, done: 0, total: null });
    try {
      const recipe = await template();
      const id = await provider.buildImage(recipe, {
        signal,
        onLayer: (done, total, detail) => this.#tell({ state: "building", detail, done, total }),
      });
      this.#tell({ ...this.progress, state: "ready", detail: null });
      return id;
    } catch (error) {
      // The next turn tries again.
      this.#building = undefined;
      const detail = error instanceof Error ? error.message : String(error);
      if (!signal.aborted) logger.error({ err: error }, "the sandbox image could not be built");
      this.#tell({ ...this.progress, state: "failed", detail: detail.slice(-4000) });
      if (isAppError(error)) throw error;
      // The SDK says so of a step that failed; anything else is an engine that cannot be reached.
      const code = detail.startsWith("Image build") ? "image_build_failed" : "sandbox_unavailable";
      throw new AppError(code, { detail: detail.slice(-4000), cause: error });
    }
  }

  #tell(progress: ImageProgress): void {
    this.progress = progress;
    for (const watch of this.#watchers) watch(progress);
  }
}
