/** Handed to Node at the daemon's start. */
export const smallProcessFlags = [
  "--lite-mode",
  "--v8-pool-size=1",
  "--max-semi-space-size=1",
  "--max-old-space-size=96",
  "--expose-gc",
];

/** For the C library: buffers go back to the system when they are freed. */
export const smallProcessEnvironment = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_MMAP_THRESHOLD_: "65536",
  MALLOC_TRIM_THRESHOLD_: "131072",
};

const everyBytes = 4 * 1024 * 1024;
let sinceLast = 0;

/**
 * Buffers live outside of V8's heap, so that a flood of output brings no collection about before tens of MB lie dead.
 * A collection of the young generation each 4 MB costs under a millisecond and keeps the program small.
 */
export function noteBuffers(bytes: number): void {
  sinceLast += bytes;
  if (sinceLast < everyBytes) return;
  sinceLast = 0;
  globalThis.gc?.({ type: "minor", execution: "sync" });
}
