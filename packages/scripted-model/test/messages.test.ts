import Anthropic from "@anthropic-ai/sdk";
import { expect, onTestFinished, test } from "vitest";
import { type ScriptedModel, startScriptedModel } from "../src/index.ts";

type Options = NonNullable<Parameters<typeof startScriptedModel>[0]>;
type Message = Anthropic.MessageParam;

async function start(options: Options = {}): Promise<{ model: ScriptedModel; client: Anthropic }> {
  const model = await startScriptedModel({ deltaDelayMs: 0, ...options });
  onTestFinished(() => model[Symbol.asyncDispose]());
  return { model, client: new Anthropic({ baseURL: model.url, apiKey: "any", maxRetries: 0 }) };
}

const TOOLS: Anthropic.Tool[] = ["Write", "Bash", "Read", "Edit"].map((name) => ({
  name,
  input_schema: { type: "object" as const },
}));

function request(messages: Message[]): Anthropic.MessageCreateParamsNonStreaming {
  return { model: "claude-test", max_tokens: 1000, tools: TOOLS, messages };
}

/** Plays the agent: answers every tool call with `results` until the model is done. */
async function converse(client: Anthropic, prompt: string, results: (name: string) => string | { error: string }) {
  const messages: Message[] = [{ role: "user", content: prompt }];
  const said: string[] = [];
  for (let round = 0; round < 20; round++) {
    const answer = await client.messages.stream(request(messages)).finalMessage();
    messages.push({ role: "assistant", content: answer.content });
    const replies: Anthropic.ToolResultBlockParam[] = [];
    for (const block of answer.content) {
      if (block.type === "text") said.push(`text: ${block.text}`);
      if (block.type !== "tool_use") continue;
      said.push(`${block.name} ${JSON.stringify(block.input)}`);
      const result = results(block.name);
      const failed = typeof result !== "string";
      replies.push({
        type: "tool_result",
        tool_use_id: block.id,
        content: failed ? result.error : result,
        is_error: failed,
      });
    }
    if (answer.stop_reason !== "tool_use") return said;
    messages.push({ role: "user", content: replies });
  }
  throw new Error(`no end: ${said.join("\n")}`);
}

test("writes the file, runs the command and sums up, through the official SDK", async () => {
  const { model, client } = await start();
  const said = await converse(client, "Create a file hello.txt that says hello, then run ls -la", (name) =>
    name === "Bash" ? "hello.txt" : "File created",
  );
  expect(said).toEqual([
    "text: I'll write `hello.txt` and then run `ls -la`.",
    'Write {"file_path":"/mnt/workspace/hello.txt","content":"hello\\n"}',
    'Bash {"command":"ls -la","description":"Run ls -la"}',
    "text: Done:\n\n- wrote `hello.txt` (6 bytes)\n- ran `ls -la`\n\n```\nhello.txt\n```",
  ]);
  expect(model.record().map((entry) => [entry.source, entry.outcome, entry.stopReason])).toEqual([
    ["demo", "complete", "tool_use"],
    ["demo", "complete", "tool_use"],
    ["demo", "complete", "end_turn"],
  ]);
});

test("stops honestly when a step fails, and names what was left", async () => {
  const { client } = await start();
  const said = await converse(client, "run `false`, then list the files", () => ({ error: "Exit code 1" }));
  expect(said.at(-1)).toMatch(/^text: This did not work: Run false\..*Exit code 1.*not done: Run ls -la/s);
  expect(said).toHaveLength(3);
});

test("reads an existing file before it overwrites it", async () => {
  const { client } = await start();
  let writes = 0;
  const said = await converse(client, "create a.txt with new", (name) => {
    if (name !== "Write") return "1\told";
    return ++writes === 1 ? { error: "File has not been read yet. Read it first before writing to it." } : "updated";
  });
  expect(said.map((line) => line.split(" ")[0])).toEqual(["text:", "Write", "Read", "Write", "text:"]);
});

test("says that it is a script when it does not understand", async () => {
  const { client } = await start();
  const answer = await client.messages.create(request([{ role: "user", content: "Refactor the auth module" }]));
  expect(JSON.stringify(answer.content)).toMatch(/scripted demo, not Claude.*API key/s);
  expect(answer.model).toBe("claude-test");
  expect(answer.usage.input_tokens).toBeGreaterThan(0);
});

test("streams in small deltas that join to the final text, in the order of the API", async () => {
  const { client } = await start();
  const types: string[] = [];
  const deltas: string[] = [];
  const stream = await client.messages.create({
    ...request([{ role: "user", content: "think about it, then write a long answer of 60 words" }]),
    stream: true,
  });
  for await (const event of stream) {
    if (types.at(-1) !== event.type) types.push(event.type);
    if (event.type === "content_block_delta" && event.delta.type === "text_delta") deltas.push(event.delta.text);
  }
  const block = ["content_block_start", "content_block_delta", "content_block_stop"];
  expect(types).toEqual(["message_start", ...block, ...block, "message_delta", "message_stop"]);
  expect(deltas.length).toBeGreaterThan(20);
  expect(Math.max(...deltas.map((delta) => delta.length))).toBeLessThanOrEqual(12);
  expect(deltas.join("")).toMatch(/Paragraph 1:/);
});

test("plays exact scripts: blocks, errors, then the next turn for the retry", async () => {
  const { model, client } = await start();
  model.script({ userTextIncludes: "scenario" }, [
    { error: { status: 529, type: "overloaded_error", message: "busy", retryAfter: 7 } },
    {
      thinking: "hm",
      text: "a👍b",
      deltas: ["a👍", "b"],
      toolUse: { name: "Bash", input: { command: "ls" }, id: "toolu_1" },
    },
  ]);
  const ask = () => client.messages.stream(request([{ role: "user", content: "my scenario" }])).finalMessage();
  const failure = await ask().catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Anthropic.APIError);
  if (failure instanceof Anthropic.APIError) {
    expect(failure.status).toBe(529);
    expect(failure.headers?.get("retry-after")).toBe("7");
    expect(failure.error).toMatchObject({ type: "error", error: { type: "overloaded_error", message: "busy" } });
  }
  const answer = await ask();
  expect(answer.content).toMatchObject([
    { type: "thinking", thinking: "hm" },
    { type: "text", text: "a👍b" },
    { type: "tool_use", id: "toolu_1", name: "Bash", input: { command: "ls" } },
  ]);
  expect((await ask()).content).toMatchObject([{ text: "The script has no more turns." }]);
});

test("a fenced block in the prompt is played as a script", async () => {
  const { client } = await start();
  const fence = (body: string) => `please\n\`\`\`holdfast-script\n${body}\n\`\`\`\n`;
  const ask = (content: string) => client.messages.create(request([{ role: "user", content }]));
  expect((await ask(fence('[{"text":"exactly this"}]'))).content).toMatchObject([{ text: "exactly this" }]);
  expect(JSON.stringify((await ask(fence("[{"))).content)).toMatch(/cannot be played/);
});

test.each(["mid_text", "after_block", "mid_tool"] as const)(
  "cuts the connection %s, and records what went out",
  async (cut) => {
    const { model, client } = await start();
    model.script(undefined, [
      { text: "0123456789".repeat(10), toolUse: { name: "Bash", input: { command: "x".repeat(300) } }, cut },
    ]);
    const stream = client.messages.stream(request([{ role: "user", content: "x" }]));
    await expect(stream.finalMessage()).rejects.toThrow();
    const [entry] = model.record();
    expect(entry?.outcome).toBe("cut");
    expect(entry?.blocks.at(-1)?.partial).toBe(cut === "after_block" ? undefined : true);
    expect(entry?.blocks).toHaveLength(cut === "mid_tool" ? 2 : 1);
  },
);

test("a client that leaves stops the words at once", async () => {
  const { model, client } = await start({ deltaDelayMs: 5 });
  const controller = new AbortController();
  const stream = await client.messages.create(
    { ...request([{ role: "user", content: "write a long answer of 20000 words" }]), stream: true },
    { signal: controller.signal },
  );
  for await (const event of stream) {
    if (event.type === "content_block_delta") break;
  }
  controller.abort();
  await expect.poll(() => model.record()[0]?.outcome).toBe("aborted");
  const block = model.record()[0]?.blocks[0];
  expect(block?.type === "text" && block.text.length < 20_000 && block.partial).toBe(true);
});

test("scripts and record over HTTP need the secret", async () => {
  const { model, client } = await start({ controlSecret: "open sesame" });
  const call = (path: string, init: RequestInit, secret = "open sesame") =>
    fetch(model.url + path, { ...init, headers: { "x-holdfast-control": secret } });
  const scripts = JSON.stringify([{ when: { regex: "^q" }, turns: [{ text: "over http" }], times: 1 }]);
  expect((await call("/__scripts", { method: "POST", body: scripts }, "wrong")).status).toBe(404);
  expect((await call("/__scripts", { method: "POST", body: '[{"turns":[{"x":1}]}]' })).status).toBe(400);
  expect((await call("/__scripts", { method: "POST", body: scripts })).status).toBe(200);
  const answer = await client.messages.create(request([{ role: "user", content: "question" }]));
  expect(answer.content).toMatchObject([{ text: "over http" }]);
  const record: unknown = await (await call("/__record", { method: "GET" })).json();
  expect(record).toMatchObject({
    record: [{ lastUserText: "question", source: "script", blocks: [{ text: "over http" }] }],
  });
  // Used up after one prompt.
  expect(JSON.stringify((await client.messages.create(request([{ role: "user", content: "quiet" }]))).content)).toMatch(
    /demo/,
  );
});

test("counts tokens, lists models, and answers bad input in Anthropic's shape", async () => {
  const { model, client } = await start();
  const count = await client.messages.countTokens({
    model: "m",
    messages: [{ role: "user", content: "x".repeat(400) }],
  });
  expect(count.input_tokens).toBeGreaterThan(100);
  expect((await client.models.list()).data[0]?.display_name).toBe("Scripted demo (not Claude)");
  const shape = { type: "error", error: { type: "invalid_request_error" } };
  for (const body of ["{", "[]", '{"model":"m"}', '{"model":"m","messages":[]}']) {
    const response = await fetch(`${model.url}/v1/messages?beta=true`, { method: "POST", body });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject(shape);
  }
  expect((await fetch(`${model.url}/v1/nothing`)).status).toBe(404);
  expect((await fetch(model.url, { method: "HEAD" })).status).toBe(200);
  expect(await (await fetch(model.url)).text()).toMatch(/not Claude/);
});
