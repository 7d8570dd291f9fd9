import { AppError } from "@holdfast/protocol";
import { isAbort, mintSandboxToken } from "@holdfast/std";
import { z } from "zod";
import type { GatewayStatus, ModelGateway, TokenClaims } from "../../ports/model-gateway.ts";

export interface HttpGatewayOptions {
  sandboxUrl: string;
  domain?: string | undefined;
  adminUrl: string;
  adminToken: string;
  tokenSecret: string;
}

const timeoutMs = 5_000;

const AdminStatus = z.object({
  mode: z.enum(["anthropic", "scripted"]),
  credential: z.object({ source: z.enum(["stored", "environment"]).nullable(), last4: z.string().nullable() }),
});

const LiveCalls = z.object({ calls: z.number() });

const sources = { stored: "file", environment: "environment" } as const;

export class HttpGateway implements ModelGateway {
  readonly sandboxUrl: string;
  readonly sandboxDomain: string;
  readonly #options: HttpGatewayOptions;

  constructor(options: HttpGatewayOptions) {
    this.#options = options;
    this.sandboxUrl = options.sandboxUrl;
    this.sandboxDomain = options.domain ?? new URL(options.sandboxUrl).hostname;
  }

  async status(signal?: AbortSignal): Promise<GatewayStatus> {
    const answer = await this.#call("GET", "/admin/status", { signal });
    const { mode, credential } = AdminStatus.parse(answer);
    const source = credential.source === null ? "none" : sources[credential.source];
    return { mode, credential: { source, last4: credential.last4 } };
  }

  async setCredential(apiKey: string, signal?: AbortSignal): Promise<void> {
    await this.#call("PUT", "/admin/credential", { body: { apiKey }, signal });
  }

  async removeCredential(signal?: AbortSignal): Promise<void> {
    await this.#call("DELETE", "/admin/credential", { signal });
  }

  async isAnswering(sessionId: string, signal?: AbortSignal): Promise<boolean> {
    const answer = await this.#call("GET", `/admin/live?session=${encodeURIComponent(sessionId)}`, { signal });
    return LiveCalls.parse(answer).calls > 0;
  }

  async revokeSandbox(sandboxId: string, signal?: AbortSignal): Promise<void> {
    await this.#call("POST", "/admin/revoke", { body: { sbx: sandboxId }, signal });
  }

  async mintToken({ accountId, workspaceId, sessionId, sandboxId, lifetimeMs }: TokenClaims): Promise<string> {
    return await mintSandboxToken(this.#options.tokenSecret, {
      acc: accountId,
      wsp: workspaceId,
      ses: sessionId,
      sbx: sandboxId,
      exp: Math.ceil((Date.now() + lifetimeMs) / 1000),
    });
  }

  async #call(
    method: string,
    path: string,
    { body, signal }: { body?: object; signal?: AbortSignal | undefined },
  ): Promise<unknown> {
    const timeout = AbortSignal.timeout(timeoutMs);
    let response: Response;
    try {
      response = await fetch(`${this.#options.adminUrl}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${this.#options.adminToken}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      });
    } catch (error) {
      if (signal?.aborted && isAbort(error, signal)) throw error;
      throw new AppError("gateway_unavailable", { cause: error });
    }
    if (response.ok) return await response.json();
    const text = await response.text();
    if (response.status === 400 && path === "/admin/credential") throw new AppError("credential_invalid");
    throw new AppError("gateway_unavailable", {
      detail: `The model gateway answered ${response.status}`,
      cause: new Error(text.slice(0, 500)),
    });
  }
}

/** Where no gateway is configured. */
export const noGateway: ModelGateway = {
  sandboxUrl: "",
  sandboxDomain: "",
  status: () => Promise.reject(missing()),
  setCredential: () => Promise.reject(missing()),
  removeCredential: () => Promise.reject(missing()),
  isAnswering: () => Promise.reject(missing()),
  revokeSandbox: () => Promise.resolve(),
  mintToken: () => Promise.reject(missing()),
};

function missing(): AppError {
  return new AppError("gateway_unavailable", { detail: "No model gateway is configured" });
}
