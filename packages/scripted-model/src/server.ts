import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createScriptedModel, type ScriptedModelCore, type ScriptedModelOptions } from "./model.ts";

/** A running scripted model. */
export interface ScriptedModel extends Omit<ScriptedModelCore, "handle">, AsyncDisposable {
  /** `http://127.0.0.1:PORT`, for `ANTHROPIC_BASE_URL`. */
  readonly url: string;
  readonly port: number;
}

const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** A `node:http` request listener around a scripted model. */
export function createScriptedModelHandler(
  options: ScriptedModelOptions = {},
): RequestListener & { model: ScriptedModelCore } {
  const model = createScriptedModel(options);
  const listener = (req: IncomingMessage, res: ServerResponse) => {
    answer(model, req, res).catch((error: unknown) => {
      // Nothing may take the process down; a client sees a broken connection, as from any crashed server.
      res.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  };
  return Object.assign(listener, { model });
}

/** Starts a listener; `port` 0, the default, takes a free one. */
export async function startScriptedModel(
  options: ScriptedModelOptions & { host?: string; port?: number } = {},
): Promise<ScriptedModel> {
  const { host = "127.0.0.1", port = 0, ...modelOptions } = options;
  const handler = createScriptedModelHandler(modelOptions);
  const server = createServer(handler);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve());
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The scripted model has no TCP address.");
  const { model } = handler;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`,
    port: address.port,
    script: (match, turns, scriptOptions) => model.script(match, turns, scriptOptions),
    clearScripts: () => model.clearScripts(),
    record: () => model.record(),
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(model: ScriptedModelCore, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) {
      const message = "The request body is larger than 32 MB.";
      res.writeHead(413, { "content-type": "application/json", connection: "close" });
      res.end(JSON.stringify({ type: "error", error: { type: "request_too_large", message } }));
      return;
    }
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  await model.handle({ method: req.method ?? "GET", url: req.url ?? "/", headers: req.headers, body, res });
}
