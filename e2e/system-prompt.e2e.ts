import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import Anthropic from "@anthropic-ai/sdk";
import { createTestKit, eventsOf } from "@holdfast/testkit";
import { expect, test } from "vitest";
import { heardModel } from "./_heard-model.ts";

test("a conversation that goes on is under the system prompt that its agent has by then", async () => {
  await using stack = new AsyncDisposableStack();
  const dataDir = mkdtempSync(join(tmpdir(), "holdfast-prompt-"));
  chmodSync(dataDir, 0o711);
  stack.defer(() => rmSync(dataDir, { recursive: true, force: true }));
  const model = stack.use(await heardModel());
  const begun = await (async () => {
    await using kit = await createTestKit({ saves: false, adjust: model.adjust, dataDir });
    const { beta } = kit.account.client;
    const agent = await beta.agents.create({ name: "a", model: "claude-sonnet-4-6", system: "You are HERON." });
    const session = await beta.sessions.create({ agent: agent.id, environment_id: "env_default" });
    await kit.turn("remember the word FALCON", { sessionId: session.id });
    return { account: kit.account, sessionId: session.id };
  })();
  expect(JSON.stringify(model.requests.at(-1)?.body.system)).toContain("HERON");
  const database = new DatabaseSync(join(dataDir, "server", "server.sqlite"));
  const change = "UPDATE sessions SET agent_json = replace(agent_json, 'HERON', 'OSPREY') WHERE id = ?";
  expect(database.prepare(change).run(begun.sessionId).changes).toBe(1);
  database.close();

  await using kit = await createTestKit({ saves: false, adjust: model.adjust, dataDir });
  const account = { ...begun.account, client: new Anthropic({ baseURL: kit.url, apiKey: begun.account.apiKey }) };
  const { events } = await kit.turn("what was the word?", { sessionId: begun.sessionId, account });
  expect(eventsOf(events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
  const { system, messages } = model.requests.at(-1)?.body ?? {};
  expect(JSON.stringify(messages)).toContain("FALCON");
  expect(JSON.stringify(system)).toContain("OSPREY");
  expect(JSON.stringify(system)).not.toContain("HERON");
});
