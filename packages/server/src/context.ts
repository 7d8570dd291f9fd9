import type { Status } from "@holdfast/protocol";
import type { FaultCounts } from "@holdfast/std";
import type { Logger } from "pino";
import type { ServerOptions } from "./config/options.ts";
import type { WebFiles } from "./config/web-files.ts";
import type { Account, Accounts } from "./domain/accounts/accounts.ts";
import type { ApiKeys } from "./domain/accounts/keys.ts";
import type { Logins } from "./domain/accounts/logins.ts";
import type { AccountRemoval } from "./domain/accounts/removal.ts";
import type { Agents } from "./domain/agents/agents.ts";
import type { ClaudeStateReader } from "./domain/claude-state/claude-state.ts";
import type { Environments } from "./domain/environments/environments.ts";
import type { Messages } from "./domain/messages/messages.ts";
import type { PermissionRules } from "./domain/questions/rules.ts";
import type { SandboxDirectory } from "./domain/sandboxes/directory.ts";
import type { SweepReport } from "./domain/sandboxes/sweep-report.ts";
import type { Sessions } from "./domain/sessions/sessions.ts";
import type { Terminals } from "./domain/terminals/terminals.ts";
import type { Workspaces } from "./domain/workspaces/workspaces.ts";
import type { EventLog } from "./ports/event-log.ts";
import type { ModelGateway } from "./ports/model-gateway.ts";

/** A part of the system that does not answer. */
export interface Missing {
  part: "database" | "engine" | "gateway";
  reason: string;
}

/** Everything that a request may need; made once, by `main.ts`. */
export interface AppContext {
  options: Pick<ServerOptions, "allowedHosts" | "allowedOrigins" | "heartbeatMs">;
  /** The built page. */
  web: WebFiles;
  version: string;
  logger: Logger;
  accounts: Accounts;
  accountRemoval: AccountRemoval;
  /** The account of a logged-in browser. */
  defaultAccount: Account;
  keys: ApiKeys;
  logins: Logins;
  workspaces: Workspaces;
  permissionRules: PermissionRules;
  sandboxes: SandboxDirectory;
  terminals: Terminals;
  sessions: Sessions;
  messages: Messages;
  claudeState: ClaudeStateReader;
  agents: Agents;
  environments: Environments;
  log: EventLog;
  gateway: ModelGateway;
  /** Parts of `GET /v1/status` that are not the account's or the model's. */
  state: () => Pick<Status, "image"> & { storage: (accountId: string) => Status["storage"] };
  /** What the last sweep found. */
  lastSweep: () => SweepReport | undefined;
  /** Signs login cookies. */
  cookieSecret: string;
  /** Known once the server listens. */
  port: () => number;
  /** Aborts when the server stops: ends open streams. */
  closing: AbortSignal;
  /** Unhandled rejections by process. */
  faults: () => FaultCounts;
  /** What is not there to serve a request in full; empty when all is. */
  missing: () => Promise<Missing[]>;
}
