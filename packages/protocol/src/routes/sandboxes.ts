import { z } from "zod";
import { commandBody } from "../limits.ts";
import { Sandbox, SandboxExec, SandboxExecFrame, Sweep } from "../sandbox.ts";
import { listOf } from "./answers.ts";
import { paging } from "./parameters.ts";
import { define } from "./route.ts";

const base = { tag: "Holdfast" } as const;

export const sandboxRoutes = {
  list: define({
    ...base,
    method: "get",
    path: "/v1/sandboxes",
    summary: "List running sandboxes",
    description:
      "The administrator also sees, at the end, those that carry this installation's tag and belong to no workspace here.",
    auth: "account",
    query: paging,
    ok: { status: 200, description: "Oldest first", schema: listOf(Sandbox) },
  }),
  get: define({
    ...base,
    method: "get",
    path: "/v1/sandboxes/{id}",
    summary: "Retrieve a sandbox",
    description: "By its id or the provider's.",
    auth: "account",
    ok: { status: 200, description: "The sandbox", schema: Sandbox },
    problems: ["sandbox_not_found"],
  }),
  stop: define({
    ...base,
    method: "post",
    path: "/v1/sandboxes/{id}/stop",
    summary: "End a sandbox",
    description:
      "A turn that runs in it ends as interrupted. The workspace stays; the next message starts a new one. The administrator may end an unknown one, too: its volumes stay, nothing is saved to S3.",
    auth: "account",
    ok: { status: 200, description: "The sandbox", schema: Sandbox },
    problems: ["sandbox_not_found", "sandbox_unavailable"],
  }),
  exec: define({
    ...base,
    method: "post",
    path: "/v1/sandboxes/{id}/exec",
    summary: "Run a command in a sandbox",
    description:
      "In `/mnt/workspace`, without standard input. A client that closes the connection kills the command. A stream that breaks ends with `event: error`.",
    auth: "account",
    body: SandboxExec,
    bounds: commandBody,
    ok: {
      status: 200,
      description: "Output as it comes, as `event: message` frames; `exit` is the last",
      schema: SandboxExecFrame,
      type: "text/event-stream",
    },
    problems: ["sandbox_not_found", "sandbox_ended", "sandbox_unavailable", "exec_time_over"],
  }),
  sweep: define({
    ...base,
    method: "get",
    path: "/v1/sweep",
    summary: "What the last sweep found",
    description: "Once a minute the sandboxes that run are compared with those that are known.",
    auth: "admin",
    ok: { status: 200, description: "`last` is null before the first", schema: z.object({ last: Sweep.nullable() }) },
  }),
} as const;
