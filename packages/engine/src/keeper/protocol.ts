import { FrameDecoder as Decoder, encodeFrame as encode, type FrameLayout } from "@holdfast/std";
import type { DiskLimit, DiskProbe } from "../disk/types.ts";
import type { ExecState, ExitStatus, RuntimeErrorCode } from "../runtime/types.ts";

/**
 * What engine and keeper say to each other over the Unix socket. A frame is: u32 length of the rest, u32 length of the
 * JSON header, header, payload (bytes of stdin). Little endian. Additions only; an engine must be able to talk to a
 * keeper that is older than itself.
 */
export const PROTOCOL_VERSION = 1;
/** The oldest keeper that this engine still understands. */
export const OLDEST_KEEPER_VERSION = 1;

export interface CreateRequest {
  op: "create";
  sandboxId: string;
  /** The whole `config.json`; sources of root and mounts are paths in the keeper's private directory. */
  config: unknown;
  hostIdBase: number;
  layers: string[];
  upperDir?: string;
  mounts: MountRequest[];
  /** How much the writable layer may take; absent (and with `upperDir`): it is not limited. */
  scratch?: DiskLimit;
  files: { path: string; content: string }[];
  symlinks: { path: string; target: string }[];
}

export interface MountRequest {
  /** A host path; of a volume its tree's path without an ending, whatever it is kept in. */
  source: string;
  readOnly: boolean;
  idmapped: boolean;
  /** For a volume: how much it may take. `subPath` is made below its root, and no link in it is followed. */
  volume?: DiskLimit & { subPath?: string };
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

/** Of what execs and sandboxes print, as long as it is kept for readers. */
export interface OutputLimits {
  /** On disk, for all outputs of one sandbox. */
  sandboxBytes: number;
  /** On disk, for all sandboxes of one account together. */
  accountBytes: number;
  /** How long an exec that has ended is known after a client got its exit. */
  execRetentionMs: number;
}

export type Request =
  /** `output`: this engine's limits from now on; absent: as they are. */
  | { op: "hello"; version: number; output?: OutputLimits }
  | CreateRequest
  | { op: "state"; sandboxId: string }
  | { op: "list" }
  | { op: "destroy"; sandboxId: string; reason: string }
  | { op: "forget"; sandboxId: string }
  | ExecRequest
  | { op: "execState"; sandboxId: string; execId: string }
  /** A client reads an exec's output from `offset` on, and has what is below. Answered by `AttachResult`. */
  | { op: "attach"; sandboxId: string; execId: string; fd: 1 | 2; offset: number }
  /**
   * A client is still at this exec; it has all output below `below` (as the files count), or its exit. Only to keepers
   * whose hello says `acknowledges`.
   */
  | { op: "acknowledge"; sandboxId: string; execId: string; fd?: 1 | 2; below?: number; exit?: boolean }
  | { op: "stdin"; sandboxId: string; execId: string; offset: number; eof: boolean }
  | { op: "kill"; sandboxId: string; execId: string; signal: number }
  | { op: "resize"; sandboxId: string; execId: string; rows: number; cols: number }
  | { op: "shutdown" };

export interface HelloResult {
  version: number;
  pid: number;
  runtime: string;
  /** What holds the limits of disk; absent: a keeper that knows none. */
  disk?: DiskProbe;
  /** It knows `attach` and `acknowledge`. */
  acknowledges?: boolean;
}

export interface AttachResult {
  /** What the client counts as byte 0: more than 0 when the beginning was dropped before anybody read it. */
  base: number;
}

/** An exec as the keeper knows it; byte counts are final once `exit` is there. */
export interface ExecSnapshot extends ExecState {
  exit?: ExitStatus;
  stdoutBytes: number;
  stderrBytes: number;
  /** Offset of the first byte that is still there; older keepers drop nothing and say nothing. */
  stdoutStart?: number;
  stderrStart?: number;
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

/** What older keepers take: 64 MiB of header and payload together. Only `stdin` has a payload, and a short header. */
const keeperFrames: FrameLayout = {
  name: "keeper",
  littleEndian: true,
  lengths: "rest-header",
  maxHeaderBytes: 16 * 1024 * 1024,
  maxBodyBytes: 48 * 1024 * 1024,
};

/** Throws `FrameTooLargeError` when the other side would not take it. */
export function encodeFrame(header: object, payload?: Uint8Array): Uint8Array {
  return encode(keeperFrames, header, payload);
}

/** Cuts a byte stream into frames; throws on a frame that cannot be ours. */
export class FrameDecoder<T extends object> extends Decoder<T> {
  constructor() {
    super(keeperFrames);
  }
}
