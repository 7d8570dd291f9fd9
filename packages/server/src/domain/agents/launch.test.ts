import type { SessionAgent } from "@holdfast/protocol";
import { expect, test } from "vitest";
import { defaultAgent } from "./default.ts";
import { agentLaunch, type LaunchContext } from "./launch.ts";

const context: LaunchContext = {
  permissionMode: "bypassPermissions",
  session: { mode: null, model: null, effort: null },
  rules: [],
  workspaceMount: "/mnt/workspace",
};

function agentWith(type: "always_allow" | "always_ask"): SessionAgent {
  const default_config = { enabled: true, permission_policy: { type } };
  return { ...defaultAgent, tools: [{ type: "agent_toolset_20260401", default_config, configs: [] }] };
}

test("files that Claude can write are trusted exactly where nothing is asked", () => {
  const distrusts = (more: Partial<LaunchContext>, agent: SessionAgent | null = null) =>
    agentLaunch(agent, { ...context, ...more }).distrusts;
  expect(distrusts({})).toBeUndefined();
  expect(distrusts({ session: { ...context.session, mode: "plan" } })).toBeUndefined();
  for (const mode of ["default", "acceptEdits", "dontAsk"] as const) {
    expect(distrusts({ session: { ...context.session, mode: mode } })).toBe("commands and rules");
  }
  for (const permissionMode of ["default", "acceptEdits", "plan"] as const) {
    expect(distrusts({ permissionMode })).toBe("commands and rules");
    expect(distrusts({ permissionMode, session: { ...context.session, mode: "bypassPermissions" } })).toBe(
      "commands and rules",
    );
  }
  expect(distrusts({}, agentWith("always_allow"))).toBeUndefined();
  expect(distrusts({}, agentWith("always_ask"))).toBe("commands");
});
