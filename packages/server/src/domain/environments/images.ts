import { createHash } from "node:crypto";
import { Recent } from "@holdfast/std";
import type { ImageTemplate } from "../../ports/sandbox-provider.ts";
import type { SandboxImage } from "../sandboxes/image.ts";

export type Layers = ImageTemplate["layers"];

/** An environment's image, and what tells it from others: environments with the same layers share it. */
export interface EnvironmentImage {
  image: SandboxImage;
  /** Empty: the installation's own image. */
  key: string;
}

/** Recipes that are remembered here; one that was forgotten is asked for again, and the provider has it. */
const maxImages = 1_000;

/** The images of all environments, each built when it is first needed. */
export class EnvironmentImages {
  readonly #base: SandboxImage;
  readonly #make: (layers: Layers) => SandboxImage;
  readonly #known = new Recent<string, SandboxImage>(maxImages);

  constructor(options: { base: SandboxImage; make: (layers: Layers) => SandboxImage }) {
    this.#base = options.base;
    this.#make = options.make;
  }

  of(layers: Layers): EnvironmentImage {
    if (layers.length === 0) return { image: this.#base, key: "" };
    const key = keyOf(layers);
    const image = this.#known.get(key) ?? this.#make(layers);
    this.#known.set(key, image);
    return { image, key };
  }

  get size(): number {
    return this.#known.size;
  }

  /** Undefined when nobody needed it since the server started, or not for long. */
  known(layers: Layers): SandboxImage | undefined {
    return layers.length === 0 ? this.#base : this.#known.get(keyOf(layers));
  }
}

function keyOf(layers: Layers): string {
  return createHash("sha256").update(JSON.stringify(layers)).digest("hex").slice(0, 32);
}
