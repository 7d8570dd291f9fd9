/**
 * Work that nobody waits for. The only way to let go of a promise: whatever it rejects with reaches `onError`, which
 * logs it, counts it or shows it.
 */
export function inBackground(work: Promise<unknown>, onError: (error: unknown) => void): void {
  work.catch(onError);
}
