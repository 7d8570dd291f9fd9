import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import { mintSandboxToken } from "@holdfast/std";
import { onTestFinished } from "vitest";
import { type Gateway, type GatewayOptionsInput, startGateway } from "../src/index.ts";

export const TOKEN_SECRET = "0123456789abcdef0123456789abcdef";
export const ADMIN_TOKEN = "admin-token-0123456789abcdef0123456789";
export const REAL_KEY = "sk-ant-api03-real-key-that-must-never-leak-0042";

export async function temporaryDirectory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "holdfast-gateway-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

export async function start(options: Partial<GatewayOptionsInput> = {}): Promise<Gateway> {
  const gateway = await startGateway({
    dataDir: options.dataDir ?? (await temporaryDirectory()),
    tokenSecret: TOKEN_SECRET,
    adminToken: ADMIN_TOKEN,
    ...options,
    scriptedModel: { deltaDelayMs: 0, ...options.scriptedModel },
  });
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  return gateway;
}

export function token(claims: Partial<Parameters<typeof mintSandboxToken>[1]> = {}): Promise<string> {
  const exp = Math.floor(Date.now() / 1000) + 600;
  return mintSandboxToken(TOKEN_SECRET, { acc: "acc_1", wsp: "wsp_1", sbx: "sb-1", ses: "sesn_1", exp, ...claims });
}

export async function clientOf(gateway: Gateway, apiKey?: string): Promise<Anthropic> {
  return new Anthropic({ baseURL: gateway.url, apiKey: apiKey ?? (await token()), maxRetries: 0 });
}

export function ask(content = "hi"): Anthropic.MessageCreateParamsNonStreaming {
  return { model: "claude-test", max_tokens: 100, messages: [{ role: "user", content }] };
}

/** Calls the admin API. */
export async function admin(gateway: Gateway, route: string, body?: unknown, bearer = ADMIN_TOKEN) {
  const [method = "GET", path = "/"] = route.split(" ");
  const response = await fetch(gateway.adminUrl + path, {
    method,
    headers: { authorization: `Bearer ${bearer}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, text, json: JSON.parse(text) as Record<string, unknown> };
}

export interface FakeUpstream {
  readonly url: string;
  readonly requests: { method: string; url: string; headers: IncomingMessage["headers"]; body: string }[];
}

/** A stand-in for Anthropic's server, over a real socket; `answer` writes the response. */
export async function fakeUpstream(answer: (req: IncomingMessage, res: ServerResponse) => void): Promise<FakeUpstream> {
  const requests: FakeUpstream["requests"] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      requests.push({ method: req.method ?? "", url: req.url ?? "", headers: req.headers, body });
      answer(req, res);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  return { url: `http://127.0.0.1:${address.port}`, requests };
}

export function sse(type: string, data: object = {}): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;
}

const usage = { input_tokens: 11, output_tokens: 1, cache_creation_input_tokens: 3, cache_read_input_tokens: 5 };
export const MESSAGE_START = sse("message_start", {
  message: {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "claude-real",
    content: [],
    stop_reason: null,
    usage,
  },
});
export const MESSAGE_END =
  sse("message_delta", { delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 42 } }) +
  sse("message_stop");
export const WHOLE_MESSAGE = JSON.stringify({
  id: "msg_2",
  type: "message",
  role: "assistant",
  model: "claude-real",
  content: [{ type: "text", text: "from upstream" }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: { ...usage, output_tokens: 7 },
});

export function sendMessage(res: ServerResponse): void {
  res.writeHead(200, { "content-type": "application/json" }).end(WHOLE_MESSAGE);
}
