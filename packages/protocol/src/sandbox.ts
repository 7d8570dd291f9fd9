import { z } from "zod";

/** A running isolated machine, or one that ran. */
export const Sandbox = z
  .object({
    id: z.string(),
    provider_id: z.string().nullable().describe("Modal's id (`sb-…`); null until it is known"),
    workspace: z.string().describe("The workspace's name"),
    workspace_id: z.string(),
    state: z
      .enum(["wanted", "creating", "running", "ended", "unknown"])
      .describe(
        "`unknown`: it carries this installation's tag, and no workspace here is its own; shown to the administrator",
      ),
    created_at: z.string().describe("RFC 3339; of an unknown one: when it was first seen"),
    unknown: z
      .object({
        account_id: z.string().describe("Of its tags"),
        kept_until: z.string().describe("RFC 3339. Then its workspace is saved to S3, and it is ended"),
        detail: z.string().nullable().describe("Why it is still kept"),
      })
      .nullable()
      .describe("Of an unknown one alone"),
  })
  .meta({ id: "Sandbox" });
export type Sandbox = z.infer<typeof Sandbox>;

/** What the last look through all sandboxes of the installation found. */
export const Sweep = z
  .object({
    at: z.string().describe("RFC 3339"),
    running: z.number().int().describe("Sandboxes of this installation that the provider runs"),
    ended: z
      .array(z.object({ id: z.string(), reason: z.string() }))
      .describe("Sandboxes that nobody wanted, and that were ended"),
    settled: z.array(z.string()).describe("Rows whose sandbox was gone"),
    unknown: z.number().int().describe("Sandboxes that nobody here knows, kept for now"),
    failures: z.array(z.string()).describe("What could not be done; it is tried again"),
  })
  .meta({ id: "Sweep" });
export type Sweep = z.infer<typeof Sweep>;

/** Linux refuses to start a program with one of so many, the NUL at its end counted. */
const maxArgumentBytes = 128 * 1024;

export const SandboxExec = z
  .strictObject({
    command: z
      .array(
        z
          .string()
          .max(maxArgumentBytes, { abort: true })
          .refine((text) => new TextEncoder().encode(text).length < maxArgumentBytes, {
            error: `must have less than ${maxArgumentBytes} bytes`,
          })
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
