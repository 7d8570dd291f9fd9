// Speaks the CLI's lines without a model: "flood N BYTES" prints N assistant lines, "drafts N" streams a text of N
// deltas, "sleep" never answers, "exit N" ends, anything else is repeated. What it prints is deterministic.
import { createInterface } from "node:readline";

const session = "11111111-1111-4111-8111-111111111111";
let counter = 0;
const uuid = () => `00000000-0000-4000-8000-${String(++counter).padStart(12, "0")}`;
let out = [];
const flush = () =>
  new Promise((resolve) => {
    const bytes = Buffer.concat(out.map((part) => Buffer.from(part)));
    out = [];
    process.stdout.write(bytes, resolve);
  });
const print = (line) => out.push(`${JSON.stringify({ ...line, session_id: session, uuid: uuid() })}\n`);
const say = (text, id) => {
  const message = { id, type: "message", role: "assistant", model: "m", content: [{ type: "text", text }] };
  print({ type: "assistant", message: { ...message, usage: {} }, parent_tool_use_id: null });
};
const stream = (event) => print({ type: "stream_event", event, parent_tool_use_id: null });

async function flood(count, bytes) {
  const filler = "x".repeat(bytes);
  for (let n = 1; n <= count; n++) {
    say(`line ${n} ${filler}`, `msg_${counter}`);
    if (out.length >= 50) await flush();
  }
}

async function drafts(count) {
  const id = `msg_${counter}`;
  stream({ type: "message_start", message: { id, content: [] } });
  stream({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } });
  for (let n = 0; n < count; n++) {
    stream({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: `${n} ` } });
    if (n % 7 !== 0) continue;
    await flush();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  say(Array.from({ length: count }, (_, n) => `${n} `).join(""), id);
  stream({ type: "content_block_stop", index: 0 });
  stream({ type: "message_delta", delta: { stop_reason: "end_turn" } });
  stream({ type: "message_stop" });
}

async function turn(line) {
  print({
    type: "system",
    subtype: "init",
    cwd: process.cwd(),
    model: "m",
    tools: [],
    permissionMode: "bypassPermissions",
  });
  out.push(`${JSON.stringify({ ...line, session_id: session, isReplay: true })}\n`);
  const text = line.message.content.map((block) => block.text).join("");
  const [command, ...args] = text.split(" ");
  if (command === "flood") await flood(Number(args[0]), Number(args[1] ?? 100));
  else if (command === "drafts") await drafts(Number(args[0]));
  else if (command === "raw")
    for (const name of args) out.push(await (await import("node:fs/promises")).readFile(name));
  else if (command === "exit") {
    await flush();
    process.exit(Number(args[0]));
  } else if (command === "sleep") {
    say("sleeping", `msg_${counter}`);
    await flush();
    await new Promise(() => setInterval(() => undefined, 1000));
  } else say(text, `msg_${counter}`);
  print({
    ...{ type: "result", subtype: "success", is_error: false, result: "done", num_turns: 1, duration_ms: 1 },
    ...{ terminal_reason: "completed", total_cost_usd: 0, usage: {}, user_message_uuids: [line.uuid] },
  });
  await flush();
}

for await (const text of createInterface({ input: process.stdin })) {
  const line = JSON.parse(text);
  if (line.type === "user") await turn(line);
  else if (line.type === "control_request") {
    print({ type: "control_response", response: { subtype: "success", request_id: line.request_id, response: {} } });
    await flush();
  }
}
