import type { EventOf } from "@holdfast/protocol";
import type { CommandContext } from "../command.ts";
import { liveSurface, plainSurface } from "../render/surface.ts";
import { Transcript } from "../render/transcript.ts";
import type { Prompter } from "./prompter.ts";
import type { Frame, Sessions } from "./sessions.ts";

/** Takes what a session says: prints it, in the form that was asked for. */
export interface Viewer extends Disposable {
  push(frame: Frame): void;
  /** Something about the following itself. */
  note(text: string): void;
  /** The connection was cut. */
  cut(waitMs: number): void;
}

export function createViewer({ out }: CommandContext, options: { quiet?: boolean; echo: boolean }): Viewer {
  if (out.json)
    return {
      // Drafts are no events of the log.
      push: (frame) => ("seq" in frame ? out.data(frame) : undefined),
      note: () => undefined,
      cut: () => undefined,
      [Symbol.dispose]: () => undefined,
    };
  const surface = out.live ? liveSurface(out) : plainSurface(out);
  const transcript = new Transcript({ ...options, paint: out.paint, surface, deltas: out.live });
  const note = (text: string) => {
    surface.endStream();
    if (out.live) surface.print(out.paint("dim", `· ${text}`));
    else out.progress(text);
  };
  return {
    push: (frame) => transcript.push(frame),
    note,
    cut: (waitMs) => {
      if (waitMs > 250) note("The connection was lost; connecting again");
    },
    [Symbol.dispose]: () => surface[Symbol.dispose](),
  };
}

interface FollowTurn {
  sessionId: string;
  /** Of the message whose turn it is, and where it stands in the log. */
  message: { id: string; seq: number };
  /** It waits for the end of another turn, which is not shown. */
  waits: boolean;
  /** Whether its turn is still to come although the session was idle at `seq`. */
  isStillToCome: (seq: number) => Promise<boolean>;
  viewer: Viewer;
  prompter?: Prompter | undefined;
  signal: AbortSignal;
}

/** How a turn ended, or that it waits for an answer, or that its message was removed. */
export type TurnEnd = EventOf<"session.status_idle" | "session.status_terminated" | "holdfast.message">;

/** Follows until the turn is over, or waits for an answer that `prompter` does not get; returns the event that says so. */
export async function followTurn(sessions: Sessions, options: FollowTurn): Promise<TurnEnd> {
  const { sessionId, message, viewer, prompter } = options;
  const signal = prompter === undefined ? options.signal : AbortSignal.any([options.signal, prompter.leaving]);
  let last: EventOf<"session.status_idle"> | undefined;
  let begun = false;
  try {
    for await (const frame of sessions.follow(sessionId, { after: message.seq, signal, onCut: viewer.cut })) {
      const own = frame.type === "holdfast.message" && frame.message_id === message.id ? frame.state : undefined;
      begun ||= own === "started" || own === "steered";
      // What another turn asks stands in the way of this one.
      if (begun || own !== undefined || !options.waits || frame.type.startsWith("holdfast.permission_")) {
        prompter?.before(frame);
        viewer.push(frame);
      }
      if (frame.type === "session.status_terminated") return frame;
      if (frame.type === "holdfast.message" && own === "removed") return frame;
      if (frame.type !== "session.status_idle") continue;
      last = frame;
      if (frame.stop_reason.type === "requires_action") {
        if (prompter === undefined) return frame;
        prompter.ask();
      } else if (begun || !(await options.isStillToCome(frame.seq))) return frame;
    }
  } catch (error) {
    if (prompter?.leaving.aborted !== true || last === undefined) throw error;
    return last;
  }
  throw signal.reason;
}
