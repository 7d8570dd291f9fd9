import { accountRoutes } from "./routes/accounts.ts";
import { agentRoutes } from "./routes/agents.ts";
import { apiKeyRoutes } from "./routes/api-keys.ts";
import { backgroundRoutes } from "./routes/background.ts";
import { claudeStateRoutes } from "./routes/claude-state.ts";
import { environmentRoutes } from "./routes/environments.ts";
import { eventRoutes } from "./routes/events.ts";
import { loginRoutes } from "./routes/logins.ts";
import { messageRoutes } from "./routes/messages.ts";
import { permissionRuleRoutes } from "./routes/permission-rules.ts";
import { rawRoutes } from "./routes/raw.ts";
import type { Route } from "./routes/route.ts";
import { sandboxRoutes } from "./routes/sandboxes.ts";
import { sessionRoutes } from "./routes/sessions.ts";
import { statusRoutes } from "./routes/status.ts";
import { streamRoutes } from "./routes/streams.ts";
import { systemRoutes } from "./routes/system.ts";
import { terminalRoutes } from "./routes/terminals.ts";
import { workspaceRoutes } from "./routes/workspaces.ts";

/** The table, a noun each: what the server answers to, except the page and its files. */
export const api = {
  agents: agentRoutes,
  environments: environmentRoutes,
  sessions: sessionRoutes,
  events: eventRoutes,
  messages: messageRoutes,
  background: backgroundRoutes,
  claudeState: claudeStateRoutes,
  streams: streamRoutes,
  raw: rawRoutes,
  accounts: accountRoutes,
  apiKeys: apiKeyRoutes,
  workspaces: workspaceRoutes,
  permissionRules: permissionRuleRoutes,
  terminals: terminalRoutes,
  sandboxes: sandboxRoutes,
  status: statusRoutes,
  logins: loginRoutes,
  system: systemRoutes,
} as const;

/** All of them. */
export const routes: readonly Route[] = Object.values(api).flatMap((noun): Route[] => Object.values(noun));
