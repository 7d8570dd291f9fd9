import { z } from "zod";

/** A running isolated machine, or one that ran. */
export const Sandbox = z
  .object({
    id: z.string(),
    provider_id: z.string().nullable().describe("Modal's id (`sb-…`); null until it is known"),
    workspace: z.string().describe("The workspace's name"),
    workspace_id: z.string(),
    state: z.enum(["wanted", "creating", "running", "ended"]),
    created_at: z.string().describe("RFC 3339"),
  })
  .meta({ id: "Sandbox" });
export type Sandbox = z.infer<typeof Sandbox>;

const maxArgumentBytes = 128 * 1024;

export const SandboxExec = z
  .object({
    command: z
      .array(
        z
          .string()
          .max(maxArgumentBytes)
          .refine((text) => !text.includes("\0"), "must not contain NUL"),
      )
      .min(1)
      .max(1000)
      .describe("Program and arguments; no shell reads them"),
    timeout_ms: z
      .number()
      .int()
      .min(1000)
      .max(24 * 60 * 60 * 1000)
      .default(10 * 60 * 1000)
      .describe("The process is killed after this"),
    user: z.enum(["claudeuser", "root"]).default("claudeuser"),
  })
  .meta({ id: "SandboxExec" });
export type SandboxExec = z.infer<typeof SandboxExec>;
export type SandboxExecInput = z.input<typeof SandboxExec>;

/** One `data:` of the stream that `exec` answers with; `exit` is the last. */
export const SandboxExecFrame = z
  .discriminatedUnion("type", [
    z.object({ type: z.literal("stdout"), text: z.string() }),
    z.object({ type: z.literal("stderr"), text: z.string() }),
    z.object({ type: z.literal("exit"), code: z.number().int().describe("128 + n when signal n ended it") }),
  ])
  .meta({ id: "SandboxExecFrame" });
export type SandboxExecFrame = z.infer<typeof SandboxExecFrame>;
