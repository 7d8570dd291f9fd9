import { z } from "zod";

const rows = z.number().int().min(1).max(1_000).describe("Lines");
const cols = z.number().int().min(1).max(1_000).describe("Characters in a line");

export const TerminalSize = z.strictObject({ rows, cols }).meta({ id: "TerminalSize" });
export type TerminalSize = z.infer<typeof TerminalSize>;

export const TerminalCreate = z
  .strictObject({ rows: rows.default(24), cols: cols.default(80) })
  .meta({ id: "TerminalCreate" });
export type TerminalCreate = z.infer<typeof TerminalCreate>;

/** A shell in a workspace's sandbox, with a screen. */
export const Terminal = z
  .object({
    id: z.string(),
    workspace_id: z.string(),
    sandbox_id: z.string().describe("It ends with this sandbox"),
    rows: z.number().int(),
    cols: z.number().int(),
    created_at: z.string().describe("RFC 3339"),
    state: z.enum(["running", "ended"]),
    exit_code: z.number().int().nullable().describe("Of one that has ended; null: nobody saw it"),
    is_busy: z
      .boolean()
      .describe("Something other than its shell runs in it: the sandbox is not stopped for being idle"),
    output: z
      .object({ start: z.number().int(), end: z.number().int() })
      .describe("Offsets, in bytes since it began, of what can still be read"),
  })
  .meta({ id: "Terminal" });
export type Terminal = z.infer<typeof Terminal>;

/** Text frames of the server on an attached terminal. */
export const TerminalSaid = z
  .discriminatedUnion("type", [
    z.object({
      type: z.literal("attached"),
      offset: z
        .number()
        .int()
        .describe("Where the output begins that follows: later than asked for where that is gone"),
    }),
    z.object({
      type: z.literal("typed"),
      offset: z.number().int().describe("So many bytes of this writer are in the terminal"),
    }),
    z.object({ type: z.literal("exit"), code: z.number().int().nullable() }),
    z.object({
      type: z.literal("error"),
      code: z.string().describe("A problem's"),
      detail: z.string(),
      remedy: z.string(),
    }),
  ])
  .meta({ id: "TerminalSaid" });
export type TerminalSaid = z.infer<typeof TerminalSaid>;

/** Text frames of a client. */
export const TerminalHeard = z
  .discriminatedUnion("type", [z.strictObject({ type: z.literal("resize"), rows, cols })])
  .meta({ id: "TerminalHeard" });
export type TerminalHeard = z.infer<typeof TerminalHeard>;

/** Of one frame of input. */
export const maxInputBytes = 64 * 1024;

const offsetBytes = 8;

/** A binary frame, either way: an unsigned 64-bit big-endian offset, then the bytes that begin there. */
export function terminalFrame(offset: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(offsetBytes + bytes.length);
  new DataView(frame.buffer).setBigUint64(0, BigInt(offset));
  frame.set(bytes, offsetBytes);
  return frame;
}

/** Undefined when it is none. */
export function terminalFrameParts(frame: Uint8Array): { offset: number; bytes: Uint8Array } | undefined {
  if (frame.length < offsetBytes) return undefined;
  const offset = Number(new DataView(frame.buffer, frame.byteOffset).getBigUint64(0));
  return Number.isSafeInteger(offset) ? { offset, bytes: frame.subarray(offsetBytes) } : undefined;
}
