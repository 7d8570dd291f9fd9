import { z } from "zod";
import { AgentOverrides, SessionAgent } from "./agent.ts";
import { BackgroundTask } from "./background.ts";
import { SentContent } from "./content.ts";
import { asMeant } from "./forms.ts";
import { InterruptDetails, MessageDetails } from "./message.ts";
import { Metadata, MetadataPatch } from "./metadata.ts";
import { ConfirmationDetails } from "./question.ts";
import { SessionSettings, SettingsChange } from "./settings.ts";
import { Todo } from "./todo.ts";

/** Names of workspaces become parts of volume names: nothing that could be a path. */
export const WorkspaceName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, "has 1 to 64 small letters, digits, - and _, the first no - or _");

/** The name in `metadata` that chooses a session's workspace. */
export const workspaceMetadataKey = "holdfast.workspace";

const AgentChoice = z.union(
  [
    z.string(),
    z.strictObject({
      type: z.literal("agent"),
      id: z.string(),
      version: z.number().int().min(1).max(1_000_000_000).optional(),
    }),
    AgentOverrides.extend({
      type: z.literal("agent_with_overrides"),
      id: z.string(),
      version: z.number().int().min(1).max(1_000_000_000).optional(),
      mcp_servers: z.array(z.never({ error: "is not supported" })).optional(),
      skills: z.array(z.never({ error: "is not supported" })).optional(),
    }).strict(),
  ],
  { error: asMeant('must be an agent\'s id, or an object with the type "agent" or "agent_with_overrides"') },
);
export type AgentChoice = z.infer<typeof AgentChoice>;

/** What `POST /v1/sessions/{id}` takes. */
export const SessionUpdate = z.object({
  title: z.string().max(200).nullable().optional(),
  metadata: MetadataPatch.nullable().optional(),
  /** Ours. */
  holdfast: z.strictObject({ settings: SettingsChange.optional() }).optional(),
});
export type SessionUpdate = z.infer<typeof SessionUpdate>;

export const SessionStatus = z.enum(["rescheduling", "running", "idle", "terminated"]);
export type SessionStatus = z.infer<typeof SessionStatus>;

/** A session in Managed Agents' shape. Times are RFC 3339. */
export const Session = z.object({
  id: z.string(),
  type: z.literal("session"),
  agent: SessionAgent,
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
    /** Claude waits for somebody's word. */
    needs_answer: z.boolean(),
    settings: SessionSettings,
    background: z.array(BackgroundTask),
    /** What Claude notes of its work. */
    todos: z.array(Todo),
  }),
});
export type Session = z.infer<typeof Session>;

const UserMessageParams = z.object({
  type: z.literal("user.message"),
  content: SentContent,
  /** Ours. */
  holdfast: MessageDetails.optional(),
});
const UserInterruptParams = z.object({
  type: z.literal("user.interrupt"),
  session_thread_id: z.null({ error: "sessions have one thread" }).optional(),
  /** Ours. */
  holdfast: InterruptDetails.optional(),
});
const UserToolConfirmationParams = z.object({
  type: z.literal("user.tool_confirmation"),
  tool_use_id: z.string().min(1).max(200),
  result: z.enum(["allow", "deny"]),
  deny_message: z.string().max(10_000).nullable().optional(),
  /** Ours. */
  holdfast: ConfirmationDetails.optional(),
});

/** What `POST /v1/sessions/{id}/events` takes. */
export const SendEvents = z.object({
  events: z
    .array(z.discriminatedUnion("type", [UserMessageParams, UserInterruptParams, UserToolConfirmationParams]))
    .min(1)
    .max(100),
});
export type SendEvents = z.infer<typeof SendEvents>;

/** What `POST /v1/sessions` takes. Managed Agents asks for agent and environment; here both have a default. */
export const SessionCreate = z.object({
  agent: AgentChoice.optional(),
  environment_id: z.string().optional(),
  title: z.string().max(200).nullable().optional(),
  metadata: Metadata.optional(),
  initial_events: z.array(UserMessageParams).max(50).optional(),
  /** Ours. */
  holdfast: z.strictObject({ settings: SettingsChange.optional() }).optional(),
});
export type SessionCreate = z.infer<typeof SessionCreate>;

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
