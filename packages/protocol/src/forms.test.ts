import { expect, test } from "vitest";
import { wordsFor, wrongAt } from "../test/_kit.ts";
import { Login } from "./account.ts";
import { AgentCreate } from "./agent.ts";
import { SessionCreate } from "./resource.ts";

const id = "agent_01K3V6F7Q8ABCDEFGHJKMNPQRS";

test.each([
  ["a speed", { id: "opus", speed: "fast" }, "speed: only standard is supported"],
  ["a region", { id: "opus", inference_geo: "eu" }, "inference_geo: is not supported"],
  ["no id", { effort: "low" }, "id: "],
  ["an id that is none", { id: "-p", effort: "ultra" }, "id: is not a model id; effort: "],
  ["an id that is none alone", "-p", "is not a model id"],
])("a model with %s is told what is wrong with it", (_what, model, words) => {
  const sent = { name: "a", model };
  expect(wrongAt(AgentCreate, sent)[0]).toMatch(/^model/);
  expect(wordsFor(AgentCreate, sent).join()).toContain(words);
});

test.each([
  ["MCP servers", { type: "agent_with_overrides", id, mcp_servers: [{}] }, "mcp_servers.0: is not supported"],
  [
    "a speed",
    { type: "agent_with_overrides", id, model: { id: "opus", speed: "fast" } },
    "model: speed: only standard",
  ],
  ["two toolsets", { type: "agent_with_overrides", id, tools: [{}, {}] }, "tools: takes one toolset"],
  ["a version that is none", { type: "agent", id, version: "new" }, "version: "],
  ["no id", { type: "agent" }, "id: "],
])("a session's agent with %s is told what is wrong with it", (_what, agent, words) => {
  expect(wrongAt(SessionCreate, { agent })).toEqual(["agent"]);
  expect(wordsFor(SessionCreate, { agent })[0]).toContain(words);
});

test.each([
  ["another type", { type: "human", id }],
  ["no type", { id }],
  ["no object", 5],
])("what is an agent by %s is told the forms that there are", (_what, agent) => {
  expect(wordsFor(SessionCreate, { agent })).toEqual([
    'must be an agent\'s id, or an object with the type "agent" or "agent_with_overrides"',
  ]);
});

test.each([5, true, null, []])("a model that is %j is told the forms that there are", (model) => {
  expect(wordsFor(AgentCreate, { name: "a", model })).toEqual(["must be a model's id, or an object with it"]);
});

test.each([{}, { token: 5 }, { api_key: null }, { key: "k" }])("a login of %j is told what it needs", (login) => {
  expect(wordsFor(Login, login)).toEqual(["needs a token or an api_key"]);
});

test("no words repeat a value that was sent, which may be a secret", () => {
  const words = [
    wordsFor(Login, { token: 5, api_key: "hf_secret" }),
    wordsFor(AgentCreate, { model: { id: "-secret" } }),
  ];
  expect(words.flat().join()).not.toContain("secret");
});
