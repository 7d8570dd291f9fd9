import { eventIdOf } from "./hash.ts";
import { emit, type Mapping } from "./mapping.ts";
import { closeTool, openTools, type ToolEntry, toolEvent } from "./state.ts";

/** Says of every tool call that nobody will give its result any more. What a background agent does goes on. */
export function endOpenTools(mapping: Mapping, why: "turn" | "process"): void {
  const open = openTools(mapping.state);
  for (const tool of open) if (why === "process" || !isBackground(mapping, tool)) endTool(mapping, tool, why);
}

/** Its subagent works in the background; without word of that: it was started by a call that has its result already. */
function isBackground(mapping: Mapping, { parent }: ToolEntry): boolean {
  if (parent === undefined) return false;
  const above = mapping.state.tools.find(({ id }) => id === parent);
  if (above === undefined) return true;
  return (above.background ?? above.open !== true) || isBackground(mapping, above);
}

function endTool(mapping: Mapping, tool: ToolEntry, why: "turn" | "process"): void {
  const { sessionId } = mapping.context;
  const eventId = toolEvent(mapping.state, sessionId, tool.id);
  const parent = tool.parent === undefined ? {} : { parent_event_id: toolEvent(mapping.state, sessionId, tool.parent) };
  const text = why === "turn" ? "No result: the turn ended first" : "No result: Claude Code ended first";
  emit(mapping, undefined, {
    id: eventIdOf(sessionId, "unfinished", eventId),
    type: "agent.tool_result",
    tool_use_id: eventId,
    content: [{ type: "text", text }],
    is_error: true,
    holdfast: { ...parent, details: { unfinished: why } },
  });
  mapping.state = closeTool(mapping.state, tool.id);
}
