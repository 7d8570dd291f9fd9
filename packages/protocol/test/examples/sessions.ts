import { SendEvents, Session, SessionCreate, SessionUpdate, Status } from "../../src/resource.ts";
import { MultiStreamStart, StreamSessionError, StreamStart, StreamVerdict } from "../../src/stream.ts";
import { definitionRules, sessionAgent } from "./agents.ts";
import {
  backgroundTask,
  confirmation,
  deliveries,
  imageBlock,
  mediaTypes,
  permissionModes,
  settings,
  textBlock,
  todo,
} from "./messages.ts";
import type { Shape } from "./shape.ts";

export const sessionStatuses = ["rescheduling", "running", "idle", "terminated"];

export const session: Session = {
  id: "sesn_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  type: "session",
  agent: sessionAgent,
  environment_id: "env_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  title: "The build",
  status: "running",
  metadata: { "holdfast-note": "mine" },
  created_at: "2026-03-01T09:00:00Z",
  updated_at: "2026-03-02T09:00:00Z",
  archived_at: "2026-03-03T09:00:00Z",
  budget: null,
  outcome_evaluations: [],
  resources: [],
  stats: { active_seconds: 12.5, duration_seconds: 60 },
  usage: { input_tokens: 10, output_tokens: 20, cache_read_input_tokens: 30 },
  vault_ids: ["vault_1"],
  holdfast: {
    workspace: "default",
    last_seq: 42,
    cost_usd: 0.25,
    needs_answer: false,
    settings,
    background: [backgroundTask],
    todos: [todo],
  },
};

export const status: Status = {
  account: { id: "acc_01K3V6F7Q8ABCDEFGHJKMNPQRS", name: "anna" },
  version: "0.1.0",
  model: { mode: "anthropic", credential: { source: "file", last4: "wxyz" } },
  storage: { state: "off", bucket: "files", key_prefix: "holdfast/", reason: "no bucket is set" },
  image: { state: "building", detail: "RUN make" },
};

export const verdict: StreamVerdict = { verdict: "ok", resumed: true, after: 12, last_seq: 42 };
const verdictRules = { whole: ["after", "last_seq"], choices: { verdict: ["ok", "gap"] } };

const userMessage = {
  type: "user.message" as const,
  content: [textBlock, imageBlock],
  holdfast: { client_id: "mine-1", delivery: "now" as const },
};

export const sendEvents: SendEvents = {
  events: [
    userMessage,
    { type: "user.interrupt", session_thread_id: null, holdfast: { message_id: "sevt_1" } },
    {
      type: "user.tool_confirmation",
      tool_use_id: "sevt_2",
      result: "deny",
      deny_message: "Not that one",
      holdfast: confirmation,
    },
  ],
};

/** The places of a message that is sent. */
const messageRules = (at: string) => ({
  optional: [`${at}.holdfast`, `${at}.holdfast.client_id`, `${at}.holdfast.delivery`],
  fixed: [`${at}.type`, `${at}.content.0.type`, `${at}.content.1.type`, `${at}.content.1.source.type`],
  closed: [`${at}.holdfast`],
  ruled: [`${at}.holdfast.client_id`, `${at}.content.1.source.data`],
  choices: { [`${at}.holdfast.delivery`]: deliveries, [`${at}.content.1.source.media_type`]: mediaTypes },
});

const first = messageRules("events.0");
const initial = messageRules("initial_events.0");
const changeable = ["holdfast.settings.permission_mode", "holdfast.settings.model", "holdfast.settings.effort"];
const change = {
  nullable: ["title", "holdfast.settings.model", "holdfast.settings.effort"],
  ruled: ["title", "metadata.team", "holdfast.settings.model"],
  closed: ["holdfast", "holdfast.settings"],
  records: ["metadata"],
  choices: {
    "holdfast.settings.permission_mode": permissionModes,
    "holdfast.settings.effort": ["low", "medium", "high", "xhigh", "max"],
  },
};
const inAgent = definitionRules("agent.");

export const sessionCreate: SessionCreate = {
  agent: "agent_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  environment_id: "env_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  title: "The build",
  metadata: { team: "core" },
  initial_events: [userMessage],
  holdfast: { settings: { permission_mode: "plan", model: "opus", effort: "max" } },
};

export const sessionShapes: readonly Shape[] = [
  {
    name: "Session",
    schema: Session,
    example: session,
    nullable: [
      ...inAgent.nullable,
      ...["title", "archived_at", "budget", "holdfast.settings.model", "holdfast.settings.effort"],
    ],
    optional: [
      ...inAgent.optional,
      ...["stats.active_seconds", "stats.duration_seconds"],
      ...["usage.input_tokens", "usage.output_tokens", "usage.cache_read_input_tokens"],
      ...["holdfast.background.0.due_at", "holdfast.background.0.tool_use_id"],
    ],
    fixed: [...inAgent.fixed, "agent.type", "type"],
    whole: ["agent.version", "holdfast.last_seq"],
    records: ["metadata"],
    choices: {
      ...inAgent.choices,
      status: sessionStatuses,
      "holdfast.background.0.kind": ["agent", "shell", "monitor", "wakeup", "other"],
      "holdfast.todos.0.status": ["pending", "in_progress", "completed"],
    },
  },
  {
    name: "Status",
    schema: Status,
    example: status,
    nullable: ["model.credential.last4", "storage.bucket", "storage.key_prefix", "storage.reason", "image.detail"],
    choices: {
      "model.mode": ["anthropic", "scripted"],
      "model.credential.source": ["none", "environment", "file"],
      "storage.state": ["on", "off"],
      "image.state": ["building", "ready", "failed"],
    },
  },
  {
    name: "SessionCreate",
    schema: SessionCreate,
    example: sessionCreate,
    ...change,
    optional: [
      ...["agent", "environment_id", "title", "metadata", "initial_events", "holdfast", "holdfast.settings"],
      ...changeable,
      ...initial.optional,
    ],
    fixed: initial.fixed,
    ruled: [...change.ruled, ...initial.ruled, "agent"],
    closed: [...change.closed, ...initial.closed],
    choices: { ...change.choices, ...initial.choices },
  },
  {
    name: "SessionUpdate",
    schema: SessionUpdate,
    example: { title: "The build", metadata: { team: "core" }, holdfast: { settings } },
    ...change,
    optional: ["title", "metadata", "holdfast", "holdfast.settings", ...changeable],
    nullable: ["metadata", "metadata.team", ...change.nullable],
  },
  {
    name: "SendEvents",
    schema: SendEvents,
    example: sendEvents,
    nullable: ["events.2.deny_message"],
    optional: [
      ...first.optional,
      ...["events.1.session_thread_id", "events.1.holdfast", "events.1.holdfast.message_id"],
      ...["events.2.deny_message", "events.2.holdfast"],
      ...["remember", "answers", "stop", "mode"].map((name) => `events.2.holdfast.${name}`),
    ],
    fixed: [...first.fixed, "events.1.type", "events.2.type"],
    closed: [...first.closed, "events.1.holdfast", "events.2.holdfast"],
    records: ["events.2.holdfast.answers"],
    ruled: [
      ...first.ruled,
      ...["events.1.holdfast.message_id", "events.2.tool_use_id", "events.2.deny_message"],
      ...["events.2.holdfast.remember", "events.2.holdfast.answers.Which database?"],
    ],
    choices: {
      ...first.choices,
      "events.2.result": ["allow", "deny"],
      "events.2.holdfast.mode": ["default", "acceptEdits"],
    },
  },
  { name: "StreamVerdict", schema: StreamVerdict, example: verdict, ...verdictRules },
  {
    name: "StreamStart",
    schema: StreamStart,
    example: { type: "holdfast.stream", ...verdict },
    ...verdictRules,
    fixed: ["type"],
  },
  {
    name: "MultiStreamStart",
    schema: MultiStreamStart,
    example: { type: "holdfast.stream", sessions: { sesn_1: verdict } },
    fixed: ["type"],
    whole: ["sessions.sesn_1.after", "sessions.sesn_1.last_seq"],
    choices: { "sessions.sesn_1.verdict": ["ok", "gap"] },
    records: ["sessions"],
  },
  {
    name: "StreamSessionError",
    schema: StreamSessionError,
    example: {
      type: "holdfast.stream_error",
      session_id: "sesn_1",
      error: { type: "not_found_error", message: "This account has no session with this id" },
      holdfast: { code: "session_not_found", remedy: "List the sessions with GET /v1/sessions." },
    },
    fixed: ["type"],
  },
];
