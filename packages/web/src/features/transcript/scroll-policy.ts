/** Within so many pixels of the end, a reader who scrolls down is taken to want the newest. */
export const nearBottomPx = 60;

export interface ScrollState {
  /** The view stays at the end while text arrives. */
  following: boolean;
  /** Rows that came while it did not. */
  unseen: number;
}

export type ScrollInput =
  /** The position changed. Only what the reader's own hand did counts. */
  | { type: "scrolled"; distancePx: number; direction: "up" | "down" | "none"; byReader: boolean }
  /** Wheel up, a finger, PageUp, Home, a selection, focus in an older row. */
  | { type: "released" }
  | { type: "rows"; added: number }
  | { type: "jumped" }
  | { type: "sent" };

export const initialScroll: ScrollState = { following: true, unseen: 0 };
const followingNow: ScrollState = { following: true, unseen: 0 };

/** Who decides where the view is: the reader, always. */
export function scrollPolicy(state: ScrollState, input: ScrollInput): ScrollState {
  switch (input.type) {
    case "jumped":
    case "sent":
      return state.following ? state : followingNow;
    case "released":
      return state.following ? { following: false, unseen: 0 } : state;
    case "rows":
      return state.following || input.added === 0 ? state : { ...state, unseen: state.unseen + input.added };
    case "scrolled":
      if (!input.byReader) return state;
      if (input.direction === "up" && state.following) return { following: false, unseen: 0 };
      if (input.direction === "down" && !state.following && input.distancePx <= nearBottomPx) return followingNow;
      return state;
  }
}
