import type { ExecState, ExitStatus, RuntimeErrorCode, SandboxState } from "../runtime/types.ts";

/**
 * What engine and keeper say to each other over the Unix socket. A frame is: u32 length of the rest, u32 length of the
 * JSON header, header, payload (bytes of stdin). Little endian. Additions only; an engine must be able to talk to a
 * keeper that is older than itself.
 */
export const PROTOCOL_VERSION = 1;
/** The oldest keeper that this engine still understands. */
export const OLDEST_KEEPER_VERSION = 1;
const MAX_FRAME_BYTES = 64 * 1024 * 1024;

export interface CreateRequest {
  op: "create";
  sandboxId: string;
  /** The whole `config.json`; sources of root and mounts are paths in the keeper's private directory. */
  config: unknown;
  hostIdBase: number;
  layers: string[];
  upperDir?: string;
  mounts: { source: string; readOnly: boolean; idmapped: boolean }[];
  files: { path: string; content: string }[];
  symlinks: { path: string; target: string }[];
}

export interface ExecRequest {
  op: "exec";
  sandboxId: string;
  execId: string;
  /** The whole `process.json`. */
  process: unknown;
  pty?: { rows: number; cols: number };
  stdout: "pipe" | "devnull";
  stderr: "pipe" | "devnull";
  timeoutMs?: number;
}

export type Request =
  | { op: "hello"; version: number }
  | CreateRequest
  | { op: "state"; sandboxId: string }
  | { op: "list" }
  | { op: "destroy"; sandboxId: string; reason: string }
  | { op: "forget"; sandboxId: string }
  | ExecRequest
  | { op: "execState"; sandboxId: string; execId: string }
  | { op: "stdin"; sandboxId: string; execId: string; offset: number; eof: boolean }
  | { op: "kill"; sandboxId: string; execId: string; signal: number }
  | { op: "resize"; sandboxId: string; execId: string; rows: number; cols: number }
  | { op: "shutdown" };

export interface HelloResult {
  version: number;
  pid: number;
  runtime: string;
}

/** An exec as the keeper knows it; byte counts are final once `exit` is there. */
export interface ExecSnapshot extends ExecState {
  exit?: ExitStatus;
  stdoutBytes: number;
  stderrBytes: number;
  /** Output that could not be kept (full disk, spool limit). */
  lostBytes: number;
}

export type KeeperEvent =
  | { event: "output"; sandboxId: string; execId: string }
  | { event: "exec"; sandboxId: string; execId: string }
  | { event: "sandbox"; sandboxId: string };

export type Reply =
  | { id: number; result: unknown }
  | { id: number; error: { code: RuntimeErrorCode; message: string } };

export type SandboxSnapshot = SandboxState;

export function encodeFrame(header: unknown, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const json = Buffer.from(JSON.stringify(header), "utf8");
  const frame = Buffer.allocUnsafe(8 + json.length + payload.length);
  frame.writeUInt32LE(4 + json.length + payload.length, 0);
  frame.writeUInt32LE(json.length, 4);
  json.copy(frame, 8);
  frame.set(payload, 8 + json.length);
  return frame;
}

export interface Frame {
  header: unknown;
  payload: Uint8Array;
}

/** Cuts a byte stream into frames; throws on a frame that cannot be ours. */
export class FrameDecoder {
  #chunks: Buffer[] = [];
  #size = 0;

  *push(chunk: Buffer): Generator<Frame> {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) yield frame;
  }

  #next(): Frame | undefined {
    if (this.#size < 8) return undefined;
    const head = this.#peek(8);
    const bodyBytes = head.readUInt32LE(0);
    const headerBytes = head.readUInt32LE(4);
    if (bodyBytes > MAX_FRAME_BYTES || headerBytes + 4 > bodyBytes)
      throw new Error("The keeper protocol is out of step.");
    if (this.#size < 4 + bodyBytes) return undefined;
    const whole = this.#peek(4 + bodyBytes);
    const rest = whole.subarray(4 + bodyBytes);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#size = rest.length;
    const header: unknown = JSON.parse(whole.toString("utf8", 8, 8 + headerBytes));
    return { header, payload: whole.subarray(8 + headerBytes, 4 + bodyBytes) };
  }

  /** Joins chunks only as far as needed; large frames arrive in many. */
  #peek(bytes: number): Buffer {
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= bytes) return first.length === this.#size ? first : this.#join();
    return this.#join();
  }

  #join(): Buffer {
    const joined = Buffer.concat(this.#chunks, this.#size);
    this.#chunks = [joined];
    return joined;
  }
}
