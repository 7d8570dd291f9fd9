import { account, accountCreated, accountDeleted, apiKey, apiKeyCreated, loggedIn } from "./accounts.ts";
import { agent, agentCreate } from "./agents.ts";
import { claudeStates } from "./claude-states.ts";
import { environment, environmentCreate } from "./environments.ts";
import { drafts, events } from "./events.ts";
import { message, textBlock } from "./messages.ts";
import { execFrames, sandbox, sweep } from "./sandboxes.ts";
import { sendEvents, session, sessionCreate, status } from "./sessions.ts";
import { terminal, terminalSaid } from "./terminals.ts";
import { permissionRule, workspace, workspaceDeleted } from "./workspaces.ts";

const pageOf = <T>(item: T) => ({ data: [item], next_page: "eyJsYXN0IjoxfQ" });
const withSession = <T extends object>(frame: T) => ({ ...frame, session_id: session.id });

const states = Object.fromEntries(Object.entries(claudeStates).map(([name, state]) => [`claudeState.${name}`, state]));

/** What each route with a schema answers with, by noun and verb of the table; of a stream one frame. */
export const answers: Readonly<Record<string, unknown>> = {
  "agents.list": pageOf(agent),
  "agents.create": agent,
  "agents.get": agent,
  "agents.update": agent,
  "agents.archive": agent,
  "agents.versions": pageOf(agent),
  "environments.list": pageOf(environment),
  "environments.create": environment,
  "environments.get": environment,
  "environments.update": environment,
  "environments.delete": { id: environment.id, type: "environment_deleted" },
  "environments.archive": environment,
  "sessions.list": pageOf(session),
  "sessions.create": session,
  "sessions.get": session,
  "sessions.update": session,
  "sessions.delete": { id: session.id, type: "session_deleted" },
  "sessions.archive": session,
  "events.list": pageOf(events["agent.message"]),
  "events.send": { data: [events["user.message"]] },
  "events.stream": events["agent.message"],
  "events.streamShort": events["agent.message"],
  "messages.list": { data: [message] },
  "messages.update": message,
  "messages.delete": { id: message.id, type: "message_deleted" },
  "background.stop": { id: "b1", type: "task_stopped" },
  ...states,
  "streams.follow": withSession(events["agent.message"]),
  "accounts.list": pageOf(account),
  "accounts.create": accountCreated,
  "accounts.delete": accountDeleted,
  "apiKeys.list": pageOf(apiKey),
  "apiKeys.create": apiKeyCreated,
  "apiKeys.revoke": apiKey,
  "workspaces.list": pageOf(workspace),
  "workspaces.create": workspace,
  "workspaces.get": workspace,
  "workspaces.rename": workspace,
  "workspaces.delete": workspaceDeleted,
  "permissionRules.list": pageOf(permissionRule),
  "permissionRules.delete": permissionRule,
  "terminals.create": terminal,
  "terminals.list": { data: [terminal] },
  "terminals.resize": terminal,
  "terminals.end": { id: terminal.id, deleted: true },
  "terminals.attach": terminalSaid.attached,
  "sandboxes.list": pageOf(sandbox),
  "sandboxes.get": sandbox,
  "sandboxes.stop": sandbox,
  "sandboxes.exec": execFrames.exit,
  "sandboxes.sweep": { last: sweep },
  "status.get": status,
  "status.setCredential": status,
  "status.removeCredential": status,
  "logins.login": loggedIn,
  "system.health": { status: "ok", unhandled_rejections: { server: 0 } },
  "system.ready": { status: "ready" },
  "system.version": { version: "0.1.0" },
  "system.openapi": { openapi: "3.1.0" },
};

/** Every frame of the routes that stream. */
export const streams: Readonly<Record<string, readonly unknown[]>> = {
  "events.stream": [...Object.values(events), ...Object.values(drafts)],
  "events.streamShort": [...Object.values(events), ...Object.values(drafts)],
  "streams.follow": [...Object.values(events), ...Object.values(drafts)].map(withSession),
  "sandboxes.exec": Object.values(execFrames),
  "terminals.attach": Object.values(terminalSaid),
};

/** What each route with a body takes. */
export const bodies: Readonly<Record<string, unknown>> = {
  "agents.create": agentCreate,
  "agents.update": { name: "Reviewer", version: 2 },
  "environments.create": environmentCreate,
  "environments.update": { description: null },
  "sessions.create": sessionCreate,
  "sessions.update": { title: "The build" },
  "events.send": sendEvents,
  "messages.update": { content: [textBlock], delivery: "now" },
  "accounts.create": { name: "anna" },
  "apiKeys.create": { name: "laptop" },
  "workspaces.create": { name: "main" },
  "workspaces.rename": { name: "other" },
  "terminals.create": { rows: 50 },
  "terminals.resize": { rows: 50, cols: 132 },
  "sandboxes.exec": { command: ["ls"] },
  "status.setCredential": { api_key: "sk-ant-x" },
  "logins.login": { token: "t0k3n" },
  "logins.logout": { everywhere: true },
};
