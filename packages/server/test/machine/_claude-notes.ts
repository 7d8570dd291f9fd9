import type { Line } from "../_local-claude.ts";

/** One user line that a process was given. */
export interface Told {
  /** Milliseconds of the run. */
  at: number;
  processId: string;
  conversation: string;
  uuid: string;
  words: string;
  /** Its turn has begun. */
  begun: boolean;
  /** Something was said, or done, in its turn. */
  answered: boolean;
  /** How its turn ended, where that was said. */
  result: "completed" | "stopped" | undefined;
}

/** What Claude Code has done in all, whatever became of its processes. */
export interface ClaudeNotes {
  told: Told[];
  /** Words of answers, each once. */
  spoken: { processId: string; words: string }[];
  /** Ids of messages that a conversation has: on disk. */
  conversations: Map<string, Set<string>>;
  /** Permission modes: one was begun in it, was told it, or Claude chose it. */
  modes: { at: number; processId: string; mode: string; by: "start" | "server" | "claude" }[];
  /** Milliseconds of the run. */
  now: () => number;
  /** For whoever looks into a failure. */
  say: (what: string) => void;
}

export function emptyNotes({ say, now }: Pick<ClaudeNotes, "say" | "now">): ClaudeNotes {
  return { told: [], spoken: [], conversations: new Map(), modes: [], say, now };
}

/** A line in a few words. */
export function brief({ type, subtype, uuid, request, response, message, command_uuid: of, state: now }: Line): string {
  const what = [type, subtype, (request as Line | undefined)?.subtype, (response as Line | undefined)?.subtype, now];
  const words = JSON.stringify((message as Line | undefined)?.content)?.slice(0, 60);
  return [...what, String(of ?? uuid ?? "").slice(0, 4), words].filter((each) => each !== undefined).join(" ");
}
