/**
 * The only credential that lies in a sandbox: `hfs_<base64url(payload json)>.<base64url(HMAC-SHA256)>`. It opens the
 * model gateway for one sandbox and nothing else. The server mints it, the gateway verifies it; they share one secret.
 */
export interface SandboxTokenPayload {
  readonly v: 1;
  /** Account that pays, `acc_…`. */
  readonly acc: string;
  /** Workspace, `wsp_…`. */
  readonly wsp: string;
  /** Sandbox, the provider's id. */
  readonly sbx?: string;
  /** Session, `sesn_…`. */
  readonly ses?: string;
  /** Unix seconds of the minting, with fractions: a revocation of an account, workspace or session hits older tokens. */
  readonly iat?: number;
  /** Unix seconds after which the token is worth nothing. */
  readonly exp: number;
  /** Unique id of this token. */
  readonly jti: string;
}

export type SandboxTokenVerdict =
  | { readonly ok: true; readonly payload: SandboxTokenPayload }
  | { readonly ok: false; readonly reason: "malformed" | "bad_signature" | "expired" };

const PREFIX = "hfs_";
/** A token is a few hundred bytes; what is longer is not ours. */
const MAX_TOKEN_LENGTH = 4096;
const MIN_SECRET_LENGTH = 32;

/** Makes a token. `secret` has at least 32 characters; `v`, `iat` and `jti` are filled in when left out. */
export async function mintSandboxToken(
  secret: string,
  payload: Omit<SandboxTokenPayload, "v" | "jti"> & { readonly jti?: string },
): Promise<string> {
  const full: SandboxTokenPayload = {
    ...payload,
    v: 1,
    iat: payload.iat ?? Date.now() / 1000,
    jti: payload.jti ?? crypto.randomUUID(),
  };
  const body = toBase64Url(new TextEncoder().encode(JSON.stringify(full)));
  const signature = await crypto.subtle.sign("HMAC", await importKey(secret), new TextEncoder().encode(PREFIX + body));
  return `${PREFIX}${body}.${toBase64Url(new Uint8Array(signature))}`;
}

/** Checks form, signature (in constant time) and expiry; revocation is the gateway's business. Never throws on a bad token. */
export async function verifySandboxToken(
  secret: string,
  token: string,
  options: { nowMs?: number } = {},
): Promise<SandboxTokenVerdict> {
  const malformed = { ok: false, reason: "malformed" } as const;
  if (token.length > MAX_TOKEN_LENGTH || !token.startsWith(PREFIX)) return malformed;
  const [body, mac, ...rest] = token.slice(PREFIX.length).split(".");
  if (!body || !mac || rest.length > 0) return malformed;
  const payloadBytes = fromBase64Url(body);
  const signature = fromBase64Url(mac);
  if (!payloadBytes || !signature) return malformed;
  const signed = new TextEncoder().encode(PREFIX + body);
  if (!(await crypto.subtle.verify("HMAC", await importKey(secret), signature, signed))) {
    return { ok: false, reason: "bad_signature" };
  }
  const payload = parsePayload(payloadBytes);
  if (!payload) return malformed;
  if (payload.exp * 1000 <= (options.nowMs ?? Date.now())) return { ok: false, reason: "expired" };
  return { ok: true, payload };
}

function importKey(secret: string) {
  if (secret.length < MIN_SECRET_LENGTH) {
    throw new RangeError(`The token secret has ${secret.length} characters; it needs at least ${MIN_SECRET_LENGTH}.`);
  }
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  return crypto.subtle.importKey("raw", new TextEncoder().encode(secret), algorithm, false, ["sign", "verify"]);
}

function parsePayload(bytes: Uint8Array<ArrayBuffer>): SandboxTokenPayload | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    // Whatever is not JSON in UTF-8 is no payload: the caller answers "malformed".
    return undefined;
  }
  return isPayload(value) ? value : undefined;
}

function isPayload(value: unknown): value is SandboxTokenPayload {
  if (typeof value !== "object" || value === null) return false;
  const { v, acc, wsp, sbx, ses, iat, exp, jti } = value as Record<string, unknown>;
  const optional = (field: unknown, type: "string" | "number") => field === undefined || typeof field === type;
  return (
    v === 1 &&
    typeof acc === "string" &&
    typeof wsp === "string" &&
    typeof jti === "string" &&
    typeof exp === "number" &&
    Number.isFinite(exp) &&
    optional(sbx, "string") &&
    optional(ses, "string") &&
    optional(iat, "number")
  );
}

function toBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");
}

/** Strict: only the one spelling that `toBase64Url` would give is taken. */
function fromBase64Url(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    return toBase64Url(bytes) === text ? bytes : undefined;
  } catch {
    // An impossible length: not base64url.
    return undefined;
  }
}
