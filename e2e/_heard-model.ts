import { createServer, type IncomingHttpHeaders } from "node:http";
import { createScriptedModelHandler } from "@holdfast/scripted-model";
import type { TestKitOptions } from "@holdfast/testkit";

export interface HeardRequest {
  path: string;
  headers: IncomingHttpHeaders;
  body: { system?: unknown; messages?: unknown; [name: string]: unknown };
}

/** What the gateway shows the model; no sandbox has it. */
export const realKey = "sk-ant-the-real-key-of-this-test";

export interface HeardModel extends AsyncDisposable {
  /** In the order in which they came. */
  readonly requests: HeardRequest[];
  /** For `createTestKit`: the gateway sends to this model, with `realKey`. */
  readonly adjust: NonNullable<TestKitOptions["adjust"]>;
}

/** The scripted model in the place of Anthropic's API, behind the gateway: every request that passes it is kept. */
export async function heardModel(): Promise<HeardModel> {
  const requests: HeardRequest[] = [];
  const model = createScriptedModelHandler();
  const server = createServer((request, response) => {
    const { url: path = "", headers } = request;
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (chunks.length > 0) requests.push({ path, headers, body: JSON.parse(Buffer.concat(chunks).toString()) });
    });
    model(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the model has no TCP address");
  const upstream = `http://127.0.0.1:${address.port}`;
  return {
    requests,
    adjust: (name, options) => (name === "gateway" ? { ...options, upstream, credential: realKey } : options),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
