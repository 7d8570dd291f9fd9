import { accountShapes } from "./examples/accounts.ts";
import { agentShapes } from "./examples/agents.ts";
import { claudeStateShapes } from "./examples/claude-states.ts";
import { environmentShapes } from "./examples/environments.ts";
import { eventShapes } from "./examples/events.ts";
import { messageShapes } from "./examples/messages.ts";
import { sandboxShapes } from "./examples/sandboxes.ts";
import { sessionShapes } from "./examples/sessions.ts";
import type { Shape } from "./examples/shape.ts";
import { terminalShapes } from "./examples/terminals.ts";
import { workspaceShapes } from "./examples/workspaces.ts";

/** Of every schema that crosses the wire. */
export const shapes: readonly Shape[] = [
  ...accountShapes,
  ...agentShapes,
  ...claudeStateShapes,
  ...environmentShapes,
  ...eventShapes,
  ...messageShapes,
  ...sandboxShapes,
  ...sessionShapes,
  ...terminalShapes,
  ...workspaceShapes,
];
