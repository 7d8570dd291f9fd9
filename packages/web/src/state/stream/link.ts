import type { HubLink, HubMessage, Listener, PageMessage } from "./messages.ts";
import workerUrl from "./worker.ts?sharedworker&url";

/** A worker that has not answered by then never will. */
const answerMs = 5_000;

/**
 * The hub in a SharedWorker; where there is none, or it does not answer, in one of the pages; where pages cannot agree
 * on one (no secure context), in this page.
 */
export function linkToHub(listener: Listener): HubLink {
  let ended = false;
  let link: HubLink | undefined;
  const waiting: PageMessage[] = [];
  const use = (made: HubLink) => {
    if (ended) return made[Symbol.dispose]();
    link = made;
    for (const message of waiting.splice(0)) made.post(message);
  };
  const inPages = async () => {
    const { linkByLeader } = await import("./leader.ts");
    use(linkByLeader(listener));
  };
  const failed = () => {
    link?.[Symbol.dispose]();
    link = undefined;
    inPages().catch(() => {
      const text = "A part of the page could not be loaded: nothing new shows by itself. Reload the page.";
      listener({ type: "trouble", text });
    });
    // What the worker was told is lost with it.
    queueMicrotask(() => listener({ type: "who" }));
  };
  const worker = typeof SharedWorker === "undefined" ? undefined : linkByWorker(listener, failed);
  if (worker) use(worker);
  else failed();
  return {
    post: (message) => {
      if (link) link.post(message);
      else waiting.push(message);
    },
    [Symbol.dispose]: () => {
      ended = true;
      link?.[Symbol.dispose]();
    },
  };
}

function linkByWorker(listener: Listener, failed: () => void): HubLink | undefined {
  let worker: SharedWorker;
  try {
    worker = new SharedWorker(trusted(workerUrl), { type: "module", name: "holdfast-stream" });
  } catch {
    // Refused by a policy of the browser or of a proxy: the pages do it among themselves.
    return undefined;
  }
  const { port } = worker;
  let over = false;
  const giveUp = () => {
    if (over) return;
    over = true;
    port.close();
    failed();
  };
  const deadline = setTimeout(giveUp, answerMs);
  worker.onerror = giveUp;
  port.onmessage = ({ data }: MessageEvent<HubMessage>) => {
    clearTimeout(deadline);
    listener(data);
  };
  return {
    post: (message) => port.postMessage(message),
    [Symbol.dispose]: () => {
      clearTimeout(deadline);
      if (over) return;
      over = true;
      port.postMessage({ type: "bye" } satisfies PageMessage);
      port.close();
    },
  };
}

interface TrustedTypes {
  createPolicy: (
    name: string,
    rules: { createScriptURL: (url: string) => string },
  ) => {
    createScriptURL: (url: string) => unknown;
  };
}

let policy: ReturnType<TrustedTypes["createPolicy"]> | undefined;

/** Our own file, named at the build: under `require-trusted-types-for 'script'` that has to be said. */
function trusted(url: string): string {
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  if (types === undefined) return url;
  policy ??= types.createPolicy("holdfast-stream", {
    createScriptURL: (asked) => {
      if (asked !== workerUrl) throw new TypeError("not the stream's worker");
      return asked;
    },
  });
  // The types of the DOM do not know it yet.
  return policy.createScriptURL(url) as string;
}
