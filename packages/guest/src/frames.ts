/**
 * What server and guest say to each other over one attached exec per sandbox (`socat - UNIX-CONNECT:…`). A frame is
 * two unsigned 32-bit big-endian lengths, then a JSON header of the first length, then raw bytes of the second. No Node
 * and no dependency here: both sides import it.
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
  | "bad_request";

export type GuestMessage =
  /** First frame on every connection. */
  | { type: "hello"; version: number; pid: number; processes: GuestProcess[] }
  | { type: "reply"; requestId: number; ok: true; pid?: number; ended?: number }
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
  /** The spool could not take more output (disk full): the process was stopped, this is why. */
  | { type: "spool_failed"; processId: string; message: string };

export interface Frame<T> {
  header: T;
  body: Uint8Array;
}

const maxHeaderBytes = 1024 * 1024;
const maxBodyBytes = 64 * 1024 * 1024;
const empty = new Uint8Array(0);

/** One frame as bytes. */
export function encodeFrame(header: GuestRequest | GuestMessage, body: Uint8Array = empty): Uint8Array {
  const head = new TextEncoder().encode(JSON.stringify(header));
  const frame = new Uint8Array(8 + head.length + body.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, head.length);
  view.setUint32(4, body.length);
  frame.set(head, 8);
  frame.set(body, 8 + head.length);
  return frame;
}

/** Cuts a byte stream into frames. Throws when the stream is not ours: the connection is then of no use. */
export class FrameDecoder<T> {
  #parts: Uint8Array[] = [];
  #length = 0;

  *push(chunk: Uint8Array): Generator<Frame<T>, void, undefined> {
    this.#parts.push(chunk);
    this.#length += chunk.length;
    for (;;) {
      const lengths = this.#peek(8);
      if (lengths === undefined) return;
      const view = new DataView(lengths.buffer, lengths.byteOffset, 8);
      const headerLength = view.getUint32(0);
      const bodyLength = view.getUint32(4);
      if (headerLength > maxHeaderBytes || bodyLength > maxBodyBytes)
        throw new Error(`not a guest frame: lengths ${headerLength} and ${bodyLength}`);
      const frame = this.#peek(8 + headerLength + bodyLength);
      if (frame === undefined) return;
      this.#drop(frame.length);
      const header = JSON.parse(new TextDecoder().decode(frame.subarray(8, 8 + headerLength))) as T;
      yield { header, body: frame.subarray(8 + headerLength) };
    }
  }

  /** The first `count` bytes in one piece; undefined when they are not there yet. */
  #peek(count: number): Uint8Array | undefined {
    if (this.#length < count) return undefined;
    const first = this.#parts[0];
    if (first !== undefined && first.length >= count) return first.subarray(0, count);
    const joined = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      joined.set(part, at);
      at += part.length;
    }
    this.#parts = [joined];
    return joined.subarray(0, count);
  }

  #drop(count: number): void {
    const first = this.#parts[0];
    if (first === undefined) return;
    if (first.length === count) this.#parts.shift();
    else this.#parts[0] = first.subarray(count);
    this.#length -= count;
  }
}
