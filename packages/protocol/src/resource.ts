import { z } from "zod";

/** Names of workspaces become parts of volume names: nothing that could be a path. */
export const WorkspaceName = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/);

/** The name in `metadata` that chooses a session's workspace. */
export const workspaceMetadataKey = "holdfast.workspace";

/** What `POST /v1/sessions` takes. Managed Agents asks for agent and environment; here both have a default. */
export const SessionCreate = z.object({
  agent: z
    .union([z.string(), z.object({ type: z.literal("agent"), id: z.string(), version: z.number().int().optional() })])
    .optional(),
  environment_id: z.string().optional(),
  title: z.string().max(200).nullable().optional(),
  metadata: z.record(z.string().max(64), z.string().max(512)).optional(),
});
export type SessionCreate = z.infer<typeof SessionCreate>;

export const SessionStatus = z.enum(["rescheduling", "running", "idle", "terminated"]);
export type SessionStatus = z.infer<typeof SessionStatus>;

/** A session in Managed Agents' shape. Times are RFC 3339. */
export const Session = z.object({
  id: z.string(),
  type: z.literal("session"),
  agent: z.record(z.string(), z.unknown()),
  environment_id: z.string(),
  title: z.string().nullable(),
  status: SessionStatus,
  metadata: z.record(z.string(), z.string()),
  created_at: z.string(),
  updated_at: z.string(),
  archived_at: z.string().nullable(),
  budget: z.null(),
  outcome_evaluations: z.array(z.unknown()),
  resources: z.array(z.unknown()),
  stats: z.object({ active_seconds: z.number().optional(), duration_seconds: z.number().optional() }),
  usage: z.object({
    input_tokens: z.number().optional(),
    output_tokens: z.number().optional(),
    cache_read_input_tokens: z.number().optional(),
  }),
  vault_ids: z.array(z.string()),
  holdfast: z.object({
    workspace: z.string(),
    /** Seq of the newest event. */
    last_seq: z.number().int(),
    cost_usd: z.number(),
  }),
});
export type Session = z.infer<typeof Session>;

const UserMessageParams = z.object({
  type: z.literal("user.message"),
  content: z.array(
    z.discriminatedUnion("type", [
      z.object({ type: z.literal("text"), text: z.string() }),
      z.object({
        type: z.literal("image"),
        source: z.object({ type: z.literal("base64"), media_type: z.string(), data: z.string() }),
      }),
    ]),
  ),
});
const UserInterruptParams = z.object({ type: z.literal("user.interrupt") });

/** What `POST /v1/sessions/{id}/events` takes. */
export const SendEvents = z.object({
  events: z
    .array(z.discriminatedUnion("type", [UserMessageParams, UserInterruptParams]))
    .min(1)
    .max(100),
});
export type SendEvents = z.infer<typeof SendEvents>;

/** What the page asks first: who am I, and who answers. `GET /v1/status`. */
export const Status = z.object({
  account: z.object({ id: z.string(), name: z.string() }),
  version: z.string(),
  model: z.object({
    /** `scripted`: "Scripted demo, not Claude". */
    mode: z.enum(["anthropic", "scripted"]),
    credential: z.object({ source: z.enum(["none", "environment", "file"]), last4: z.string().nullable() }),
  }),
  storage: z.object({
    /** `off` says in `reason` why nothing is written to S3. */
    state: z.enum(["on", "off"]),
    bucket: z.string().nullable(),
    key_prefix: z.string().nullable(),
    reason: z.string().nullable(),
  }),
  image: z.object({
    state: z.enum(["building", "ready", "failed"]),
    /** Last line of the build log, or the failure. */
    detail: z.string().nullable(),
  }),
});
export type Status = z.infer<typeof Status>;
