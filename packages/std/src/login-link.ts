/**
 * The token of a link that logs a browser in: `hfl_<nonce>.<expiry, unix ms>.<signature>`. Whoever may read the
 * installation's secrets makes one without asking the server; the server takes each once. Signing is left to either
 * side's own HMAC-SHA256 (base64url) over `loginLinkPayload`.
 */
export interface LoginLinkToken {
  /** Unique; the server remembers it until `expiresMs`. */
  readonly nonce: string;
  /** Unix ms after which the link is worth nothing. */
  readonly expiresMs: number;
  readonly signature: string;
}

/** How long a link is good for, ms. */
export const loginLinkLifetimeMs = 15 * 60_000;

const form = /^hfl_([A-Za-z0-9_-]{16,64})\.(\d{1,16})\.([A-Za-z0-9_-]{43})$/;

export const loginLinkPayload = ({ nonce, expiresMs }: Pick<LoginLinkToken, "nonce" | "expiresMs">): string =>
  `login-link:${nonce}.${expiresMs}`;

export const formatLoginLinkToken = ({ nonce, expiresMs, signature }: LoginLinkToken): string =>
  `hfl_${nonce}.${expiresMs}.${signature}`;

/** Undefined when it is not of this form. Nothing is verified. */
export function parseLoginLinkToken(text: string): LoginLinkToken | undefined {
  const [, nonce, expiry, signature] = form.exec(text) ?? [];
  if (nonce === undefined || expiry === undefined || signature === undefined) return undefined;
  return { nonce, expiresMs: Number(expiry), signature };
}
