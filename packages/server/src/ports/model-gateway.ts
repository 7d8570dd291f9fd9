/** The model gateway's administration. Every call rejects with `gateway_unavailable` when it does not answer. */
export interface ModelGateway {
  status(signal?: AbortSignal): Promise<GatewayStatus>;
  /** Rejects with `credential_invalid` when the key cannot be one. */
  setCredential(apiKey: string, signal?: AbortSignal): Promise<void>;
  removeCredential(signal?: AbortSignal): Promise<void>;
  /** Whether it answers a request of the session now. */
  isAnswering(sessionId: string, signal?: AbortSignal): Promise<boolean>;
  /** The sandbox has ended: its tokens are worth nothing from now on. */
  revokeSandbox(sandboxId: string, signal?: AbortSignal): Promise<void>;
  /** What a session's process shows at the gateway. */
  mintToken(claims: TokenClaims): Promise<string>;
  /** As a sandbox sees it. */
  readonly sandboxUrl: string;
  /** The name that a sandbox's network policy must allow. */
  readonly sandboxDomain: string;
}

export interface TokenClaims {
  accountId: string;
  workspaceId: string;
  sessionId: string;
  sandboxId: string;
  lifetimeMs: number;
}

export interface GatewayStatus {
  /** `scripted`: "Scripted demo, not Claude". */
  mode: "anthropic" | "scripted";
  credential: { source: "none" | "environment" | "file"; last4: string | null };
}
