import { BackgroundTask, TaskStopped } from "../../src/background.ts";
import { ImageBlock, SentImageBlock, TextBlock } from "../../src/content.ts";
import { InterruptDetails, Message, MessageDetails, MessageRemoved, MessageUpdate } from "../../src/message.ts";
import { ChoiceQuestion, ConfirmationDetails, PermissionSuggestion } from "../../src/question.ts";
import { SessionSettings, SettingsChange } from "../../src/settings.ts";
import { Todo } from "../../src/todo.ts";
import type { Shape } from "./shape.ts";

/** One pixel. */
export const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

export const textBlock: TextBlock = { type: "text", text: "Hello" };
export const imageBlock = {
  type: "image" as const,
  source: { type: "base64" as const, media_type: "image/png" as const, data: pixel },
};
export const mediaTypes = ["image/png", "image/jpeg", "image/gif", "image/webp"];

export const message: Message = {
  id: "sevt_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  type: "message",
  state: "queued",
  content: [textBlock, imageBlock],
  delivery: "next",
  client_id: "mine-1",
  created_at: "2026-03-01T09:00:00Z",
  edited_at: "2026-03-01T09:01:00Z",
};

export const backgroundTask: BackgroundTask = {
  id: "wake-1",
  kind: "wakeup",
  description: "Looks at the build",
  due_at: "2026-03-01T10:00:00Z",
  tool_use_id: "sevt_01K3V6F7Q8ABCDEFGHJKMNPQRS",
};

export const todo: Todo = { id: "1", content: "Read the code", status: "in_progress" };
export const settings: SessionSettings = { permission_mode: "plan", model: "opus", effort: "high" };
export const permissionModes = ["plan", "dontAsk", "default", "acceptEdits", "bypassPermissions"];
export const deliveries = ["next", "now"];

export const suggestion: PermissionSuggestion = {
  id: "s1",
  label: "Always npm test",
  rules: ["Bash(npm test:*)"],
  mode: "acceptEdits",
};

export const choiceQuestion: ChoiceQuestion = {
  question: "Which database?",
  header: "Database",
  multi_select: false,
  options: [{ label: "SQLite", description: "One file", preview: "app.db" }],
};

export const confirmation: ConfirmationDetails = {
  remember: "s1",
  answers: { "Which database?": "SQLite" },
  stop: false,
  mode: "acceptEdits",
};

const effortNames = ["low", "medium", "high", "xhigh", "max"];

export const messageShapes: readonly Shape[] = [
  { name: "TextBlock", schema: TextBlock, example: textBlock, fixed: ["type"] },
  { name: "ImageBlock", schema: ImageBlock, example: imageBlock, fixed: ["type", "source.type"] },
  {
    name: "SentImageBlock",
    schema: SentImageBlock,
    example: imageBlock,
    fixed: ["type", "source.type"],
    ruled: ["source.data"],
    choices: { "source.media_type": mediaTypes },
  },
  {
    name: "Message",
    schema: Message,
    example: message,
    fixed: ["type"],
    nullable: ["client_id", "edited_at"],
    unions: ["content.0", "content.1"],
    choices: { state: ["queued", "sent", "taken"], delivery: deliveries },
    ruled: ["content.0.type", "content.1.type", "content.1.source.type"],
  },
  {
    name: "MessageDetails",
    schema: MessageDetails,
    example: { client_id: "mine-1", delivery: "now" },
    optional: ["client_id", "delivery"],
    closed: [""],
    ruled: ["client_id"],
    choices: { delivery: deliveries },
  },
  {
    name: "InterruptDetails",
    schema: InterruptDetails,
    example: { message_id: message.id },
    optional: ["message_id"],
    closed: [""],
    ruled: ["message_id"],
  },
  {
    name: "MessageUpdate",
    schema: MessageUpdate,
    example: { content: [textBlock, imageBlock], delivery: "now" },
    optional: ["content", "delivery"],
    closed: [""],
    fixed: ["content.0.type", "content.1.type", "content.1.source.type"],
    ruled: ["content.1.source.data"],
    choices: { delivery: deliveries, "content.1.source.media_type": mediaTypes },
  },
  {
    name: "MessageRemoved",
    schema: MessageRemoved,
    example: { id: message.id, type: "message_deleted" },
    fixed: ["type"],
  },
  {
    name: "BackgroundTask",
    schema: BackgroundTask,
    example: backgroundTask,
    optional: ["due_at", "tool_use_id"],
    choices: { kind: ["agent", "shell", "monitor", "wakeup", "other"] },
  },
  { name: "TaskStopped", schema: TaskStopped, example: { id: "b1", type: "task_stopped" }, fixed: ["type"] },
  { name: "Todo", schema: Todo, example: todo, choices: { status: ["pending", "in_progress", "completed"] } },
  { name: "SessionSettings", schema: SessionSettings, example: settings, nullable: ["model", "effort"] },
  {
    name: "SettingsChange",
    schema: SettingsChange,
    example: settings,
    optional: ["permission_mode", "model", "effort"],
    nullable: ["model", "effort"],
    closed: [""],
    ruled: ["model"],
    choices: { permission_mode: permissionModes, effort: effortNames },
  },
  {
    name: "PermissionSuggestion",
    schema: PermissionSuggestion,
    example: suggestion,
    optional: ["mode"],
    choices: { mode: ["acceptEdits"] },
  },
  { name: "ChoiceQuestion", schema: ChoiceQuestion, example: choiceQuestion, optional: ["options.0.preview"] },
  {
    name: "ConfirmationDetails",
    schema: ConfirmationDetails,
    example: confirmation,
    optional: ["remember", "answers", "stop", "mode"],
    closed: [""],
    ruled: ["remember", "answers.Which database?"],
    records: ["answers"],
    choices: { mode: ["default", "acceptEdits"] },
  },
];
