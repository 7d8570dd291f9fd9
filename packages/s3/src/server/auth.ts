import { timingSafeEqual } from "node:crypto";
import { awsEncodePath, headerText } from "../wire/encode.ts";
import {
  ALGORITHM,
  canonicalRequest,
  hmac,
  parseAmzDate,
  type Scope,
  signingKey,
  stringToSign,
  UNSIGNED_PAYLOAD,
} from "../wire/sigv4.ts";
import type { EndedSessions } from "./ended-sessions.ts";
import { Fault } from "./faults.ts";
import { isAllowed, type Policy, parsePolicy } from "./policy.ts";
import type { S3Request } from "./request.ts";
import type { SessionSeal } from "./sessions.ts";

/** Who makes a request. */
export interface Caller {
  readonly arn: string;
  /** All must allow; none for the root key. */
  readonly policies: readonly Policy[];
  readonly policyTexts: readonly string[];
  /** When the caller's credentials end; Infinity for the root key. */
  readonly expiresMs: number;
  /** The session and those it was made from; empty for the root key. */
  readonly sessionIds: readonly string[];
  /** @throws Fault AccessDenied where the credentials were ended: they only read any more */
  readonly checkWrites: () => void;
  /** Held while a write takes effect. @throws Fault AccessDenied where the credentials were ended meanwhile */
  readonly enter: () => Disposable;
}

/** How the body is vouched for. */
export type PayloadProof =
  | { readonly kind: "hash"; readonly sha256: string }
  | { readonly kind: "unsigned" }
  | { readonly kind: "unsigned-chunks" }
  | { readonly kind: "signed-chunks"; readonly chain: ChunkChain; readonly trailer: boolean };

/** What chunk signatures are computed from. */
export interface ChunkChain {
  readonly key: Buffer;
  readonly date: string;
  readonly scope: Scope;
  readonly seedSignature: string;
}

export interface Authenticated {
  readonly caller: Caller;
  readonly payload: PayloadProof;
  readonly presigned: boolean;
}

export interface AuthOptions {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly seal: SessionSeal;
  readonly ended: EndedSessions;
  readonly now: () => number;
}

const SKEW_MS = 15 * 60_000;
const MAX_PRESIGN_SECONDS = 7 * 24 * 3600;

interface Claim {
  readonly accessKeyId: string;
  readonly scope: Scope;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  readonly date: string;
  readonly token: string | undefined;
  readonly presigned: boolean;
  readonly payloadHash: string;
}

function parseCredential(text: string, malformed: () => Fault): { accessKeyId: string; scope: Scope } {
  const match = /^([^/]{1,128})\/(\d{8})\/([^/]{1,64})\/(s3|sts)\/aws4_request$/.exec(text);
  const [, accessKeyId, date, region, service] = match ?? [];
  if (!accessKeyId || !date || !region || !service) throw malformed();
  return { accessKeyId, scope: { date, region, service } };
}

function readHeaderClaim(request: S3Request, authorization: string): Claim {
  const malformed = (): Fault => new Fault("AuthorizationHeaderMalformed");
  if (!authorization.startsWith(ALGORITHM + " ")) {
    throw new Fault("InvalidRequest", { message: `Only ${ALGORITHM} signatures are accepted.` });
  }
  const fields = new Map(
    authorization
      .slice(ALGORITHM.length)
      .split(",")
      .map((field) => {
        const eq = field.indexOf("=");
        return [field.slice(0, eq).trim(), field.slice(eq + 1).trim()] as const;
      }),
  );
  const signedHeaders = fields.get("SignedHeaders");
  const signature = fields.get("Signature");
  if (!signedHeaders || !signature) throw malformed();
  const { accessKeyId, scope } = parseCredential(fields.get("Credential") ?? "", malformed);
  const payloadHash = request.header("x-amz-content-sha256");
  if (payloadHash === undefined && scope.service === "s3") {
    throw new Fault("InvalidRequest", { message: "Missing required header for this request: x-amz-content-sha256" });
  }
  return {
    accessKeyId,
    scope,
    signedHeaders: signedHeaders.split(";"),
    signature,
    date: request.header("x-amz-date") ?? httpDate(request.header("date")),
    token: request.header("x-amz-security-token"),
    presigned: false,
    payloadHash: payloadHash ?? "",
  };
}

function httpDate(text: string | undefined): string {
  const timeMs = Date.parse(text ?? "");
  if (Number.isNaN(timeMs)) throw new Fault("AccessDenied", { message: "A signed request needs X-Amz-Date or Date." });
  return new Date(timeMs).toISOString().replace(/[-:]|\.\d{3}/g, "");
}

function readQueryClaim(request: S3Request): Claim {
  const malformed = (): Fault => new Fault("AuthorizationQueryParametersError");
  const credential = request.param("X-Amz-Credential");
  const date = request.param("X-Amz-Date");
  const signedHeaders = request.param("X-Amz-SignedHeaders");
  const signature = request.param("X-Amz-Signature");
  if (request.param("X-Amz-Algorithm") !== ALGORITHM || !credential || !date || !signedHeaders || !signature) {
    throw malformed();
  }
  return {
    ...parseCredential(credential, malformed),
    signedHeaders: signedHeaders.split(";"),
    signature,
    date,
    token: request.param("X-Amz-Security-Token"),
    presigned: true,
    payloadHash: request.header("x-amz-content-sha256") ?? request.param("X-Amz-Content-Sha256") ?? UNSIGNED_PAYLOAD,
  };
}

function checkTime(request: S3Request, claim: Claim, nowMs: number): void {
  const signedMs = parseAmzDate(claim.date);
  if (signedMs === undefined || !claim.date.startsWith(claim.scope.date)) {
    throw new Fault(claim.presigned ? "AuthorizationQueryParametersError" : "AuthorizationHeaderMalformed");
  }
  const skewed = (): Fault =>
    new Fault("RequestTimeTooSkewed", {
      details: {
        RequestTime: claim.date,
        ServerTime: new Date(nowMs).toISOString(),
        MaxAllowedSkewMilliseconds: String(SKEW_MS),
      },
    });
  if (!claim.presigned) {
    if (Math.abs(nowMs - signedMs) > SKEW_MS) throw skewed();
    return;
  }
  const expires = request.param("X-Amz-Expires") ?? "";
  if (!/^\d{1,6}$/.test(expires) || Number(expires) > MAX_PRESIGN_SECONDS || Number(expires) === 0) {
    throw new Fault("AuthorizationQueryParametersError", {
      message: "X-Amz-Expires must be between 1 and 604800 seconds.",
    });
  }
  if (signedMs - nowMs > SKEW_MS) throw skewed();
  if (nowMs > signedMs + Number(expires) * 1000) {
    throw new Fault("AccessDenied", {
      message: "Request has expired",
      details: { ServerTime: new Date(nowMs).toISOString() },
    });
  }
}

/** Headers that change what a request does must be covered; these two only ever strengthen or repeat it. */
const MAY_BE_UNSIGNED = new Set(["x-amz-content-sha256", "x-amz-date"]);

function signedHeaderValues(request: S3Request, claim: Claim): [string, string][] {
  if (!claim.signedHeaders.includes("host")) {
    throw new Fault("AccessDenied", { message: "The Host header must be signed." });
  }
  const unsigned = Object.keys(request.raw.headers).filter(
    (name) => name.startsWith("x-amz-") && !claim.signedHeaders.includes(name) && !MAY_BE_UNSIGNED.has(name),
  );
  if (unsigned.length > 0) {
    throw new Fault("AccessDenied", {
      message: "There were headers present in the request which were not signed",
      details: { HeadersNotSigned: unsigned.join(", ") },
    });
  }
  return claim.signedHeaders.map((name) => [name, request.header(name) ?? ""]);
}

function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

const NOTHING_HELD: Disposable = { [Symbol.dispose]: () => undefined };

interface Identity {
  readonly secretAccessKey: string;
  readonly caller: Caller;
}

function identify(claim: Claim, options: AuthOptions): Identity {
  if (claim.token === undefined) {
    if (claim.accessKeyId !== options.accessKeyId) {
      throw new Fault("InvalidAccessKeyId", { details: { AWSAccessKeyId: claim.accessKeyId } });
    }
    const caller = {
      arn: "arn:aws:iam::000000000000:root",
      policies: [],
      policyTexts: [],
      expiresMs: Number.POSITIVE_INFINITY,
      sessionIds: [],
      checkWrites: () => undefined,
      enter: () => NOTHING_HELD,
    };
    return { secretAccessKey: options.secretAccessKey, caller };
  }
  const session = options.seal.open(claim.token);
  if (session.accessKeyId !== claim.accessKeyId) throw new Fault("InvalidToken");
  if (options.now() >= session.expiresMs) throw new Fault("ExpiredToken");
  const sessionIds = [...(session.parents ?? []), session.accessKeyId];
  const caller = {
    arn: session.arn,
    policies: session.policies.map(parsePolicy),
    policyTexts: session.policies,
    expiresMs: session.expiresMs,
    sessionIds,
    checkWrites: () => options.ended.check(sessionIds),
    enter: () => options.ended.enter(sessionIds),
  };
  return { secretAccessKey: session.secretAccessKey, caller };
}

function payloadProof(claim: Claim, key: Buffer): PayloadProof {
  const chain = { key, date: claim.date, scope: claim.scope, seedSignature: claim.signature };
  switch (claim.payloadHash) {
    case UNSIGNED_PAYLOAD:
      return { kind: "unsigned" };
    case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
      return { kind: "unsigned-chunks" };
    case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
      return { kind: "signed-chunks", chain, trailer: false };
    case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER":
      return { kind: "signed-chunks", chain, trailer: true };
  }
  if (/^[0-9a-f]{64}$/.test(claim.payloadHash)) return { kind: "hash", sha256: claim.payloadHash };
  if (claim.payloadHash.startsWith("STREAMING-"))
    throw new Fault("NotImplemented", { message: "That payload signing is not implemented." });
  throw new Fault("InvalidArgument", {
    message: "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING-… value or a SHA-256 in hex.",
  });
}

/**
 * Checks a request's signature, in its header or its query.
 * @param bodySha256 for STS, whose clients sign a body hash that is in no header
 * @throws Fault with S3's code for whatever is wrong
 */
export function authenticate(request: S3Request, options: AuthOptions, bodySha256?: string): Authenticated {
  const authorization = request.header("authorization");
  const presigned = request.has("X-Amz-Signature") || request.has("X-Amz-Algorithm");
  if (authorization !== undefined && presigned) {
    throw new Fault("InvalidArgument", { message: "Only one way of signing may be used: header or query." });
  }
  if (authorization === undefined && !presigned) throw new Fault("AccessDenied");
  const read = authorization === undefined ? readQueryClaim(request) : readHeaderClaim(request, authorization);
  const claim = bodySha256 === undefined ? read : { ...read, payloadHash: bodySha256 };
  if (claim.scope.service !== (bodySha256 === undefined ? "s3" : "sts")) {
    throw new Fault(claim.presigned ? "AuthorizationQueryParametersError" : "AuthorizationHeaderMalformed", {
      message: "The service in the credential scope is not the one addressed.",
    });
  }
  checkTime(request, claim, options.now());
  const { secretAccessKey, caller } = identify(claim, options);
  const key = signingKey(secretAccessKey, claim.scope);
  checkSignature(request, claim, key);
  return { caller, payload: payloadProof(claim, key), presigned: claim.presigned };
}

function checkSignature(request: S3Request, claim: Claim, key: Buffer): void {
  const headers = signedHeaderValues(request, claim);
  // Text beyond ASCII: most clients send the UTF-8 that they sign, those on Node send Latin-1 and sign UTF-8.
  const sent = headers.map(([name, value]) => [name, headerText(value)] as const);
  const readings = headers.every(([, value], at) => value === sent[at]?.[1]) ? [headers] : [sent, headers];
  let details: Record<string, string> = {};
  for (const reading of readings) {
    const canonical = canonicalRequest({
      method: request.method,
      path: awsEncodePath(request.path),
      query: request.query.filter(([name]) => !(claim.presigned && name === "X-Amz-Signature")),
      headers: reading,
      payloadHash: claim.payloadHash,
    });
    const text = stringToSign(claim.date, claim.scope, canonical);
    if (sameText(hmac(key, text).toString("hex"), claim.signature)) return;
    details = { AWSAccessKeyId: claim.accessKeyId, StringToSign: text, CanonicalRequest: canonical };
  }
  throw new Fault("SignatureDoesNotMatch", { details });
}

/**
 * Asks the caller's policies.
 * @throws Fault AccessDenied
 */
export function authorize(
  caller: Caller,
  action: string,
  access: { readonly resource: string; readonly context?: Readonly<Record<string, string>> },
): void {
  const full = { action, resource: access.resource, context: access.context ?? {} };
  if (caller.policies.every((policy) => isAllowed(policy, full))) {
    if (!/^s3:(Get|List)/.test(action)) caller.checkWrites();
    return;
  }
  throw new Fault("AccessDenied", { message: `These credentials do not allow ${action} on ${access.resource}` });
}
