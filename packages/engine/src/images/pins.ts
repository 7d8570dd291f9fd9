/** Exact versions of what base images are made from; changing one makes new base layers. */
export const pins = {
  debianSuite: "bookworm",
  node: "24.21.0",
  npm: "11.19.1",
  /** Raised when the way a base layer is made changes. */
  recipe: 2,
} as const;
