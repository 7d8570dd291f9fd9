/// <reference lib="webworker" />

import { type Port, StreamHub } from "./hub.ts";
import type { PageMessage } from "./messages.ts";

/** The SharedWorker that holds the one stream of a browser. */
const scope = self as unknown as SharedWorkerGlobalScope;
const hub = new StreamHub({ open: (url) => new EventSource(url) });

scope.addEventListener("online", () => hub.wake());
scope.addEventListener("offline", () => hub.lost());
scope.addEventListener("connect", ({ ports: [channel] }) => {
  if (channel === undefined) return;
  const port: Port = { post: (message) => channel.postMessage(message) };
  channel.onmessage = ({ data }: MessageEvent<PageMessage>) => hub.receive(port, data);
});
