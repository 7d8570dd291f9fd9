/**
 * One turn of Claude Code through the official Anthropic SDK, which is given nothing but an address and a key:
 *
 *   HOLDFAST_URL=http://127.0.0.1:4600 HOLDFAST_API_KEY=hfk_… node examples/anthropic-sdk.ts "create hello.txt"
 */
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({
  baseURL: process.env.HOLDFAST_URL ?? "http://127.0.0.1:4600",
  apiKey: process.env.HOLDFAST_API_KEY ?? "",
});
const prompt = process.argv[2] ?? "Create hello.txt with the text hello, then list the files";

const session = await client.beta.sessions.create({
  agent: "agent_default",
  environment_id: "env_default",
  title: "From the example",
});
console.log(`session ${session.id}`);

await client.beta.sessions.events.send(session.id, {
  events: [{ type: "user.message", content: [{ type: "text", text: prompt }] }],
});

// Opened after the message was sent, and yet nothing of the turn is missing: the stream begins at the open message.
for await (const event of await client.beta.sessions.events.stream(session.id)) {
  if (event.type === "agent.message") {
    for (const block of event.content) if (block.type === "text") console.log(block.text);
  }
  if (event.type === "agent.tool_use") console.log(`🔧 ${event.name} ${JSON.stringify(event.input)}`);
  if (event.type === "session.error") console.error(`❌ ${event.error.message}`);
  // All work is over, agents in the background included; before that it is idle only when Claude asks something.
  if (event.type === "session.status_idle" && event.stop_reason.type !== "requires_action") break;
}

const kinds = new Map<string, number>();
for await (const event of client.beta.sessions.events.list(session.id)) {
  kinds.set(event.type, (kinds.get(event.type) ?? 0) + 1);
}
console.log("kept in the log:", Object.fromEntries(kinds));
