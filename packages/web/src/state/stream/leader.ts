import { StreamHub } from "./hub.ts";
import type { HubLink, HubMessage, Listener, PageMessage } from "./messages.ts";

const name = "holdfast-stream";

/** What pages say to each other: to the hub, wherever it is, or from it to one page or to all (`to` absent). */
type Envelope = { way: "hub"; from: string; message: PageMessage } | { way: "page"; to?: string; message: HubMessage };

/**
 * The hub in one of the pages: the one that holds a lock of the origin. It lets go when it is frozen, and when it is
 * hidden while another page is in view; the next in the queue goes on from the pages' cursors.
 */
export function linkByLeader(listener: Listener): HubLink {
  if (!("locks" in navigator) || typeof BroadcastChannel === "undefined") return linkInPage(listener);
  const id = crypto.randomUUID();
  const channel = new BroadcastChannel(name);
  const ended = new AbortController();
  let own: OwnHub | undefined;
  channel.onmessage = ({ data }: MessageEvent<Envelope>) => {
    if (data.way === "hub") own?.receive(data.from, data.message);
    else if (data.to === undefined || data.to === id) listener(data.message);
  };
  const lead = async () => {
    while (!ended.signal.aborted) {
      await untilAwake(ended.signal);
      await navigator.locks.request(name, { signal: ended.signal }, async () => {
        const hub = new OwnHub({ id, channel, listener });
        own = hub;
        hub.ask();
        try {
          await hub.untilLetGo(ended.signal);
        } finally {
          own = undefined;
          hub[Symbol.dispose]();
        }
      });
    }
  };
  lead().catch((error: unknown) => {
    if (ended.signal.aborted) return;
    const why = error instanceof Error ? error.message : String(error);
    listener({
      type: "trouble",
      text: `The pages of this browser cannot share their live stream (${why}). Reload the page.`,
    });
  });
  const post = (message: PageMessage) => {
    if (own) own.receive(id, message);
    else channel.postMessage({ way: "hub", from: id, message } satisfies Envelope);
  };
  return {
    post,
    [Symbol.dispose]: () => {
      post({ type: "bye" });
      ended.abort();
      channel.close();
    },
  };
}

class OwnHub implements Disposable {
  readonly #hub = new StreamHub({ open: (url) => new EventSource(url) });
  readonly #ports = new Map<string, { post: (message: HubMessage) => void }>();
  readonly #listeners = new AbortController();
  readonly #id: string;
  readonly #channel: BroadcastChannel;
  readonly #listener: Listener;

  constructor({ id, channel, listener }: { id: string; channel: BroadcastChannel; listener: Listener }) {
    this.#id = id;
    this.#channel = channel;
    this.#listener = listener;
    const on = { signal: this.#listeners.signal };
    addEventListener("online", () => this.#hub.wake(), on);
    addEventListener("offline", () => this.#hub.lost(), on);
  }

  /** Whoever is there says what it wants. */
  ask(): void {
    this.#listener({ type: "who" });
    this.#channel.postMessage({ way: "page", message: { type: "who" } } satisfies Envelope);
  }

  receive(from: string, message: PageMessage): void {
    this.#hub.receive(this.#portOf(from), message);
    if (message.type === "bye") this.#ports.delete(from);
  }

  /** Resolves when another page does it better. */
  untilLetGo(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const on = { signal: this.#listeners.signal };
      const lookHidden = () => {
        if (document.hidden && this.#hub.othersInView(this.#portOf(this.#id))) resolve();
      };
      document.addEventListener("freeze", () => resolve(), on);
      document.addEventListener("visibilitychange", lookHidden, on);
      const timer = setInterval(lookHidden, 5_000);
      this.#listeners.signal.addEventListener("abort", () => clearInterval(timer));
      signal.addEventListener("abort", () => resolve(), on);
    });
  }

  [Symbol.dispose](): void {
    this.#listeners.abort();
    this.#hub[Symbol.dispose]();
  }

  #portOf(page: string) {
    let port = this.#ports.get(page);
    if (port === undefined) {
      const post = (message: HubMessage) => {
        if (page === this.#id) this.#listener(message);
        else this.#channel.postMessage({ way: "page", to: page, message } satisfies Envelope);
      };
      port = { post };
      this.#ports.set(page, port);
    }
    return port;
  }
}

/** A hidden page queues behind those in view: it asks for the lead only a while later. */
function untilAwake(signal: AbortSignal): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const done = new AbortController();
    const end = () => {
      clearTimeout(timer);
      done.abort();
      resolve();
    };
    const timer = setTimeout(end, 2_000);
    document.addEventListener("visibilitychange", end, { signal: done.signal });
    signal.addEventListener("abort", end, { signal: done.signal });
  });
}

/** Each page for itself: nothing lets the pages of this browser agree. */
function linkInPage(listener: Listener): HubLink {
  const hub = new StreamHub({ open: (url) => new EventSource(url) });
  const port = { post: listener };
  const listeners = new AbortController();
  addEventListener("online", () => hub.wake(), { signal: listeners.signal });
  addEventListener("offline", () => hub.lost(), { signal: listeners.signal });
  return {
    post: (message) => hub.receive(port, message),
    [Symbol.dispose]: () => {
      listeners.abort();
      hub[Symbol.dispose]();
    },
  };
}
