import { JsonBoundsError, keepsJsonBounds } from "@holdfast/std";
import { expect, test } from "vitest";
import { agentCreate } from "../test/examples/agents.ts";
import { environmentCreate } from "../test/examples/environments.ts";
import { imageBlock, textBlock } from "../test/examples/messages.ts";
import { AgentCreate } from "./agent.ts";
import { EnvironmentCreate } from "./environment.ts";
import {
  commandBody,
  definitionBody,
  maxBodyBytes,
  maxPromptBytes,
  maxToolResultBytes,
  messageBody,
  smallBody,
} from "./limits.ts";
import { SendEvents } from "./resource.ts";
import { SandboxExec } from "./sandbox.ts";

const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const many = <T>(length: number, item: T) => Array.from({ length }, () => item);

test("no route reads more than the largest body", () => {
  for (const bounds of [smallBody, definitionBody, commandBody, messageBody])
    expect(bounds.bytes).toBeLessThanOrEqual(maxBodyBytes);
});

test("a message fits into a body, also one whose every sign is escaped in two", () => {
  expect(2 * maxPromptBytes).toBeLessThan(maxBodyBytes);
  const message = { type: "user.message", content: [{ type: "text", text: '"'.repeat(maxPromptBytes) }] };
  expect(keepsJsonBounds(bytes({ events: [message] }), messageBody)).toBe(true);
});

test("a tool's result in an event is smaller than what a client may send", () => {
  expect(maxToolResultBytes).toBeLessThan(maxPromptBytes);
});

test("the largest agent that is one fits into its route's body", () => {
  const largest = {
    ...agentCreate,
    name: "n".repeat(256),
    description: "d".repeat(2048),
    system: "s".repeat(100_000),
    tools: [{ ...agentCreate.tools?.[0], configs: many(32, agentCreate.tools?.[0]?.configs?.[0]) }],
    metadata: Object.fromEntries(many(16, 0).map((_, index) => [`${index}`.padEnd(64, "k"), "v".repeat(512)])),
  };
  expect(AgentCreate.safeParse(largest).success).toBe(true);
  expect(keepsJsonBounds(bytes(largest), definitionBody)).toBe(true);
});

test("the largest environment that is one fits into its route's body", () => {
  const names = many(100, "p".repeat(201));
  const largest = {
    ...environmentCreate,
    config: { type: "cloud", packages: { apt: names, npm: names, pip: names } },
    holdfast: { image_commands: many(50, `RUN ${"x".repeat(9_996)}`) },
  };
  expect(EnvironmentCreate.safeParse(largest).success).toBe(true);
  expect(keepsJsonBounds(bytes(largest), definitionBody)).toBe(true);
});

test("a command of as many words as it may have fits into its route's body", () => {
  const most = { command: many(1000, "w".repeat(2_000)), timeout_ms: 1_000, user: "root" };
  expect(SandboxExec.safeParse(most).success).toBe(true);
  expect(keepsJsonBounds(bytes(most), commandBody)).toBe(true);
});

test.each([
  ["a hundred events of one block", { events: many(100, { type: "user.message", content: [textBlock] }) }],
  ["one event of a hundred blocks", { events: [{ type: "user.message", content: many(100, imageBlock) }] }],
])("%s fits into a message's body", (_what, value) => {
  expect(SendEvents.safeParse(value).success).toBe(true);
  expect(keepsJsonBounds(bytes(value), messageBody)).toBe(true);
});

test.each([
  ["bytes", { text: "x".repeat(smallBody.bytes) }],
  ["depth", JSON.parse(`${"[".repeat(9)}${"]".repeat(9)}`) as unknown],
  ["keys", Object.fromEntries(many(201, 0).map((_, index) => [`k${index}`, 0]))],
  ["values", { list: many(502, 0) }],
])("a small body with too many %s is not read", (_what, value) => {
  expect(keepsJsonBounds(bytes(value), smallBody)).toBe(false);
});

test("what keeps a small body's bounds is read", () => {
  expect(keepsJsonBounds(bytes({ list: many(400, 0), deep: [[[[[[0]]]]]] }), smallBody)).toBe(true);
  expect(new JsonBoundsError("depth", smallBody.depth).message).toContain(`${smallBody.depth}`);
});
