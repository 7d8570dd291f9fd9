/** What pages and the hub of a browser's one stream say to each other. Structured clones; additions only. */

export interface ConnectionState {
  state: "connecting" | "live" | "reconnecting";
  /** When the last frame came, ms since the epoch; 0 before the first. */
  lastFrameMs: number;
  /** Tries since the connection was lost. */
  attempt: number;
}

export interface Followed {
  id: string;
  /** Seq of the last event that is held without a hole. */
  after: number;
  /** Wants live text, too. */
  drafts: boolean;
}

/** From a page. */
export type PageMessage =
  /** The whole of what it wants, also as a sign of life. With `again` its cursors count, whatever was sent to it. */
  | { type: "want"; followed: readonly Followed[]; visible: boolean; again?: boolean }
  /** The network came back, or the page did: look whether the connection still is one. */
  | { type: "wake" }
  | { type: "bye" };

/** To a page. */
export type HubMessage =
  /** `served`: which of the page's sessions the connection follows now. */
  | { type: "state"; connection: ConnectionState; served: readonly string[] }
  /** One frame of a session, as the stream gave it. */
  | { type: "frame"; id: string; value: unknown }
  /** The server cannot go on from what was asked for; `lastSeq` is its newest event. */
  | { type: "gap"; id: string; lastSeq: number }
  /** The session is not there any more. */
  | { type: "gone"; id: string }
  /** What was live text is not confirmed any more. */
  | { type: "disconnected" }
  /** The server refused with an HTTP error (the browser does not say which). */
  | { type: "refused" }
  /** Live updates cannot be had at all, in words for the reader. */
  | { type: "trouble"; text: string }
  /** The hub does not know the page (any more): it should say what it wants. */
  | { type: "who" };

/** A page's connection to the hub, wherever that is. */
export interface HubLink extends Disposable {
  post: (message: PageMessage) => void;
}

export type Listener = (message: HubMessage) => void;
