import type Anthropic from "@anthropic-ai/sdk";
import { expectTypeOf, test } from "vitest";
import type { DraftFrame, EventOf } from "./event.ts";
import type { Session } from "./resource.ts";

type Official = Anthropic.Beta.Sessions.BetaManagedAgentsStreamSessionEvents;
type OfficialOf<T extends string> = Extract<Official, { type: T }>;

test("events agree with the official SDK's types", () => {
  expectTypeOf<EventOf<"user.message">>().toExtend<OfficialOf<"user.message">>();
  expectTypeOf<EventOf<"user.interrupt">>().toExtend<OfficialOf<"user.interrupt">>();
  expectTypeOf<EventOf<"agent.message">>().toExtend<OfficialOf<"agent.message">>();
  expectTypeOf<EventOf<"agent.thinking">>().toExtend<OfficialOf<"agent.thinking">>();
  expectTypeOf<EventOf<"agent.tool_use">>().toExtend<OfficialOf<"agent.tool_use">>();
  expectTypeOf<EventOf<"agent.tool_result">>().toExtend<OfficialOf<"agent.tool_result">>();
  expectTypeOf<EventOf<"session.status_running">>().toExtend<OfficialOf<"session.status_running">>();
  expectTypeOf<EventOf<"session.status_idle">>().toExtend<OfficialOf<"session.status_idle">>();
  expectTypeOf<EventOf<"session.error">>().toExtend<OfficialOf<"session.error">>();
  expectTypeOf<Extract<DraftFrame, { type: "event_start" }>>().toExtend<OfficialOf<"event_start">>();
  expectTypeOf<Extract<DraftFrame, { type: "event_delta" }>>().toExtend<OfficialOf<"event_delta">>();
  expectTypeOf<Session["status"]>().toExtend<Anthropic.Beta.Sessions.BetaManagedAgentsSession["status"]>();
});
