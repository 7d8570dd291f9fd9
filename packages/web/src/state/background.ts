import { inBackground } from "@holdfast/std";

/**
 * Work of the page that nobody waits for. What can be expected to fail (the network) is shown by the work itself;
 * anything else is a fault of the page, and goes where the browser reports those.
 */
export function background(work: Promise<unknown>): void {
  inBackground(work, (fault) => {
    queueMicrotask(() => {
      throw fault;
    });
  });
}
