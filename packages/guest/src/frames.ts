import { FrameDecoder as Decoder, encodeFrame as encode, type FrameLayout } from "@holdfast/std";

export type { Frame } from "@holdfast/std";

/**
 * What server and guest say to each other over one attached exec per sandbox (`socat - UNIX-CONNECT:…`). A frame is
 * two unsigned 32-bit big-endian lengths, then a JSON header of the first length, then raw bytes of the second. No Node
 * here: both sides import it.
 */

export const guestProtocolVersion = 1;
export const guestSocketPath = "/run/holdfast/guest.sock";
/** Exit code of the guest's commands when a higher generation of the session has been here. */
export const guestStaleExit = 77;
export const guestBundlePath = "/opt/holdfast/guest.mjs";

/** One Claude process of a session, past or present. Offsets count bytes from the process's start. */
export interface GuestProcess {
  /** `prc_…`, chosen by the server for each start. */
  processId: string;
  sessionId: string;
  /** The highest generation this session has seen; lower ones are refused. */
  generation: number;
  pid: number;
  stdoutBytes: number;
  stderrBytes: number;
  /** `lost`: the guest died, and ended the process when it came back. */
  exit: { code: number | null; signal: string | null } | null;
}

/** What a spool holds: from the first byte on, up to the second. */
export interface SpoolRange {
  start: number;
  end: number;
}

/** A shell in a PTY. Offsets count bytes of its output from its start. */
export interface GuestTerminal {
  /** `term_…`, chosen by the server. */
  terminalId: string;
  createdMs: number;
  rows: number;
  cols: number;
  /** What can still be read. */
  start: number;
  end: number;
  /** `code` is null when nobody saw it. */
  exit: { code: number | null } | null;
  /** Something other than its shell runs in it. */
  isBusy: boolean;
}

/** Every request is answered by one `reply` with its `requestId`. */
export type GuestRequest =
  /** Sent by `guest start`, not by the server: argv and environment of the new process. */
  | {
      type: "start";
      requestId: number;
      sessionId: string;
      processId: string;
      generation: number;
      cwd: string;
      argv: string[];
      env: Record<string, string>;
    }
  /** Output of this process from these offsets on, until `unsubscribe`, the connection's end or the spool's removal. */
  | { type: "subscribe"; requestId: number; processId: string; stdoutOffset: number; stderrOffset: number }
  | { type: "unsubscribe"; requestId: number; processId: string }
  /** The body is one line without its newline. The same `lineId` again is answered ok and not written. */
  | { type: "stdin"; requestId: number; processId: string; generation: number; lineId: string }
  | { type: "close_stdin"; requestId: number; processId: string; generation: number }
  /** To the process alone (SIGINT) or, with `group`, to all that it started. */
  | { type: "signal"; requestId: number; processId: string; generation: number; signal: string; group: boolean }
  /**
   * Ends what the process has started and is no longer below it, as far as it began after this line went in, or less
   * than so many milliseconds ago. What runs below the process is its own.
   */
  | {
      type: "end_orphans";
      requestId: number;
      processId: string;
      generation: number;
      since: { lineId: string } | { ms: number };
    }
  /** A session's new lease: from now on lower generations are refused. */
  | { type: "fence"; requestId: number; sessionId: string; generation: number }
  /** Everything below these offsets is committed and may be dropped from the spool. */
  | {
      type: "committed";
      requestId: number;
      processId: string;
      generation: number;
      stdoutOffset: number;
      stderrOffset: number;
    }
  /** The process has ended and all of it is committed: its spool may go. */
  | { type: "remove"; requestId: number; processId: string; generation: number }
  /** Sent by `guest terminal`, not by the server: what stands in front of the shell, and its environment. */
  | {
      type: "open_terminal";
      requestId: number;
      terminalId: string;
      cwd: string;
      argv: string[];
      env: Record<string, string>;
      rows: number;
      cols: number;
    }
  | { type: "list_terminals"; requestId: number }
  /** Its output from this offset on, or from where the ring begins by now: the answer's `offset` says which. */
  | { type: "watch_terminal"; requestId: number; terminalId: string; offset: number }
  | { type: "unwatch_terminal"; requestId: number; terminalId: string }
  /** The body is what a writer typed from `offset` of all that it typed on. What was taken before is not typed again. */
  | { type: "type_in_terminal"; requestId: number; terminalId: string; writer: string; offset: number }
  | { type: "resize_terminal"; requestId: number; terminalId: string; rows: number; cols: number }
  /** Hangs up, kills what is still there, and forgets it. */
  | { type: "end_terminal"; requestId: number; terminalId: string }
  /** The body is a key (`sealKeyBytes`): from the answer on every message of this connection comes sealed with it. */
  | { type: "seal"; requestId: number }
  | { type: "ping"; requestId: number };

export type GuestErrorCode =
  | "unknown_process"
  | "stale_generation"
  | "stdin_closed"
  | "already_running"
  | "spawn_failed"
  | "spool_full"
  /** The spool does not hold these offsets (any more); the answer says which it holds. */
  | "offset_unavailable"
  | "unknown_terminal"
  | "terminal_ended"
  | "too_many_terminals"
  | "bad_request";

export type GuestMessage =
  /** First frame on every connection. */
  | {
      type: "hello";
      version: number;
      pid: number;
      processes: GuestProcess[];
      /** It takes `seal`; guests of before do not. */
      seals?: true;
      /** It makes terminals; guests of before do not. */
      terminals?: true;
    }
  /** The body is another frame, sealed: what carries the connection may keep what went through it. */
  | { type: "sealed" }
  | {
      type: "reply";
      requestId: number;
      ok: true;
      pid?: number;
      ended?: number;
      terminals?: GuestTerminal[];
      offset?: number;
    }
  | {
      type: "reply";
      requestId: number;
      ok: false;
      code: GuestErrorCode;
      message: string;
      spools?: { stdout: SpoolRange; stderr: SpoolRange };
      /** With `stale_generation`: the highest that has been here. */
      generation?: number;
    }
  /** The body is the bytes at `offset`; not cut at lines. */
  | { type: "stdout" | "stderr"; processId: string; offset: number }
  /** After the last output. */
  | {
      type: "exit";
      processId: string;
      code: number | null;
      signal: string | null;
      stdoutBytes: number;
      stderrBytes: number;
    }
  /** The body is the bytes at `offset`; one that is not where the last bytes ended: what is between is lost. */
  | { type: "terminal_output"; terminalId: string; offset: number }
  /** After the last output. */
  | { type: "terminal_exit"; terminalId: string; code: number | null; end: number }
  /** The spool could not take more output (disk full): the process was stopped, this is why. */
  | { type: "spool_failed"; processId: string; message: string };

const guestFrames: FrameLayout = {
  name: "guest",
  littleEndian: false,
  lengths: "header-body",
  maxHeaderBytes: 1024 * 1024,
  maxBodyBytes: 64 * 1024 * 1024,
};

/** One frame as bytes. Throws `FrameTooLargeError` when the other side would not take it. */
export function encodeFrame(header: GuestRequest | GuestMessage, body?: Uint8Array): Uint8Array {
  return encode(guestFrames, header, body);
}

/** Cuts a byte stream into frames. Throws when the stream is not ours: the connection is then of no use. */
export class FrameDecoder<T extends object> extends Decoder<T> {
  constructor() {
    super(guestFrames);
  }
}
