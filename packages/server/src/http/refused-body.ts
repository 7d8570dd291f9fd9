import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { inBackground, startTimer } from "@holdfast/std";

/** How long, and how much, somebody may go on to send what was refused. */
const restMs = 500;
const restBytes = 64 * 1024 * 1024;

/** Reads and forgets what comes after the part that was refused. Never fails: whoever refuses says why. */
export async function dropRest(reader: ReadableStreamDefaultReader<Uint8Array> | undefined): Promise<void> {
  if (reader === undefined) return;
  using _timer = startTimer(restMs, () => inBackground(reader.cancel(), () => undefined));
  try {
    for (let bytes = 0; bytes < restBytes; ) {
      const { value } = await reader.read();
      if (value === undefined) return;
      bytes += value.length;
    }
  } catch {
    // The connection broke: there is no rest.
  }
}

/**
 * The same for a request that was refused before its body was looked at. False when the body did not come to its end:
 * then the connection serves no other request and the answer must say so, or whoever is next on it (behind a proxy,
 * somebody else) finds it cut.
 */
export async function isWhole(incoming: IncomingMessage | undefined): Promise<boolean> {
  if (incoming === undefined || incoming.method === "GET" || incoming.method === "HEAD") return true;
  if (incoming.complete || incoming.readableDidRead || incoming.destroyed) return incoming.complete;
  const enough = new AbortController();
  let bytes = 0;
  const count = (chunk: Uint8Array) => {
    bytes += chunk.length;
    if (bytes > restBytes) enough.abort();
  };
  using _timer = startTimer(restMs, () => enough.abort());
  incoming.on("data", count);
  try {
    await Promise.race([once(incoming, "end", enough), once(incoming, "close", enough)]);
  } catch {
    // It goes on, or it broke: either way it did not come to its end.
  } finally {
    incoming.off("data", count);
  }
  return incoming.complete;
}
