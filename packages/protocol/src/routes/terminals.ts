import { z } from "zod";
import { Terminal, TerminalCreate, TerminalSaid, TerminalSize } from "../terminal.ts";
import { integer, text } from "./parameters.ts";
import { define } from "./route.ts";

const base = { tag: "Holdfast", auth: "account" } as const;
const one = "/v1/workspaces/{id}/terminals/{terminal_id}";
const wanted = ["workspace_not_found", "terminal_not_found", "sandbox_unavailable"] as const;

/** A writer's name: 40 of letters, digits, - and _. */
const writer = z.string().regex(/^[A-Za-z0-9_-]{1,40}$/, "must have 1 to 40 letters, digits, - and _");

export const terminalRoutes = {
  create: define({
    ...base,
    method: "post",
    path: "/v1/workspaces/{id}/terminals",
    summary: "Make a terminal",
    description:
      "A shell of Claude's user in the workspace's directory; a workspace without a sandbox gets one. Up to 8 run in a workspace.",
    body: TerminalCreate,
    ok: { status: 201, description: "The terminal", schema: Terminal },
    problems: [
      "workspace_not_found",
      "too_many_terminals",
      "terminals_unsupported",
      "terminal_failed",
      "sandbox_unavailable",
      "sandbox_ended",
      "permissions_failed",
      "workspace_elsewhere",
    ],
  }),
  list: define({
    ...base,
    method: "get",
    path: "/v1/workspaces/{id}/terminals",
    summary: "List terminals",
    description: "Of the sandbox that runs; none is started for this. The last 8 that have ended stand there, too.",
    ok: { status: 200, description: "Oldest first", schema: z.object({ data: z.array(Terminal) }) },
    problems: ["workspace_not_found", "sandbox_unavailable"],
  }),
  resize: define({
    ...base,
    method: "post",
    path: `${one}/resize`,
    summary: "Give a terminal another size",
    body: TerminalSize,
    ok: { status: 200, description: "The terminal", schema: Terminal },
    problems: [...wanted, "terminal_ended"],
  }),
  end: define({
    ...base,
    method: "delete",
    path: one,
    summary: "End a terminal",
    description: "Its programs are told that it hangs up (SIGHUP); two seconds later what is left is killed.",
    ok: {
      status: 200,
      description: "It is gone",
      schema: z.object({ id: z.string(), deleted: z.literal(true) }),
    },
    problems: [...wanted],
  }),
  attach: define({
    ...base,
    method: "get",
    path: `${one}/attach`,
    summary: "Attach to a terminal",
    description:
      'A WebSocket. Binary frames, both ways, begin with an offset (8 bytes, big-endian) of the bytes that follow: of the terminal\'s output, or of all that this writer has typed (at most 64 KiB a frame). Text frames of the server are described below; of a client: `{"type":"resize","rows":N,"cols":N}`. Up to 16 may be attached in a workspace. A cookie opens it only for a page of this server.',
    query: {
      offset: integer({ min: 0 }, "Output from this byte on; absent: all that there still is"),
      writer: text(
        "Who types, in words of one's own: what a writer sends again after a reconnect is typed once",
        writer,
      ),
    },
    ok: { status: 101, description: "A text frame of the server", schema: TerminalSaid },
    problems: [...wanted, "too_many_attached", "terminals_unsupported", "websocket_required"],
  }),
} as const;
