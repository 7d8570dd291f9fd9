import { z } from "zod";
import { WorkspaceName } from "./resource.ts";

/** A durable file tree of an account. */
export const Workspace = z
  .object({
    id: z.string(),
    name: z.string(),
    is_default: z.boolean().describe("The one of sessions that name none; it cannot be deleted"),
    created_at: z.string().describe("RFC 3339"),
  })
  .meta({ id: "Workspace" });
export type Workspace = z.infer<typeof Workspace>;

export const WorkspaceWrite = z.strictObject({ name: WorkspaceName }).meta({ id: "WorkspaceWrite" });
export type WorkspaceWrite = z.infer<typeof WorkspaceWrite>;

/** What is gone with a workspace, and what is not. */
export const WorkspaceDeleted = z
  .object({
    id: z.string(),
    name: z.string(),
    deleted: z.literal(true),
    gone: z
      .object({
        sandbox: z.string().nullable().describe("The sandbox that was ended, if one ran"),
        volumes: z
          .enum(["deleted", "pending"])
          .describe("`pending`: the provider did not answer; it is tried again every minute"),
        sessions_ended: z.number().int().describe("They take no message any more"),
      })
      .describe("Every file of the workspace and what Claude Code remembered of its conversations"),
    kept: z.array(z.string()).describe("In words: what stays"),
  })
  .meta({ id: "WorkspaceDeleted" });
export type WorkspaceDeleted = z.infer<typeof WorkspaceDeleted>;
