import { randomBytes, randomInt } from "node:crypto";
import { writeXml, type XmlFields } from "../../wire/xml.ts";
import type { Caller } from "../auth.ts";
import type { EndedSessions } from "../ended-sessions.ts";
import { Fault } from "../faults.ts";
import { MAX_POLICY_CHARACTERS, parsePolicy } from "../policy.ts";
import type { SessionSeal } from "../sessions.ts";

export const STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/";
const STS_VERSION = "2011-06-15";
const END_SESSION = "HoldfastEndSession";
const MIN_SECONDS = 900;
const MAX_SECONDS = 12 * 3600;
const MAX_POLICIES = 4;
const KEY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

function temporaryKeyId(): string {
  return "ASIA" + Array.from({ length: 16 }, () => KEY_ALPHABET[randomInt(KEY_ALPHABET.length)]).join("");
}

function durationOf(text: string | null, caller: Caller, nowMs: number): number {
  const seconds = text === null ? 3600 : Number(text);
  if (!Number.isInteger(seconds) || seconds < MIN_SECONDS || seconds > MAX_SECONDS) {
    throw new Fault("ValidationError", {
      message: `DurationSeconds must be between ${MIN_SECONDS} and ${MAX_SECONDS}.`,
    });
  }
  // Temporary credentials cannot prolong themselves.
  return Math.min(nowMs + seconds * 1000, caller.expiresMs);
}

export interface StsContext {
  readonly form: URLSearchParams;
  readonly caller: Caller;
  readonly seal: SessionSeal;
  readonly ended: EndedSessions;
  readonly now: () => number;
  readonly requestId: string;
}

/**
 * @returns the answer's XML
 * @throws Fault NotImplemented, and what the action throws
 */
export async function answerSts(context: StsContext): Promise<string> {
  const { form } = context;
  const action = form.get("Action");
  if (form.get("Version") === STS_VERSION) {
    if (action === "AssumeRole") return assumeRole(context);
    if (action === END_SESSION) return await endSession(context);
  }
  throw new Fault("NotImplemented", {
    message: `STS here knows only AssumeRole and ${END_SESSION}, version ${STS_VERSION}.`,
  });
}

/**
 * Ends temporary credentials before their time, with all that were made from them: they write nothing any more. Not part
 * of AWS's STS.
 * @throws Fault AccessDenied for others than the root key, InvalidToken
 */
async function endSession({ form, caller, seal, ended, requestId }: StsContext): Promise<string> {
  if (caller.sessionIds.length > 0) {
    throw new Fault("AccessDenied", { message: "Only the key that gave temporary credentials ends them." });
  }
  const session = seal.open(form.get("SessionToken") ?? "");
  await ended.end(session.accessKeyId, session.expiresMs);
  return writeXml(`${END_SESSION}Response`, [["ResponseMetadata", [["RequestId", requestId]]]], STS_NAMESPACE);
}

/**
 * Hands out temporary credentials with the caller's rights, cut down by the policy that came along. A role's ARN is
 * only echoed: this server has no roles.
 * @throws Fault ValidationError, MalformedPolicyDocument, PackedPolicyTooLarge, NotImplemented
 */
function assumeRole(context: StsContext): string {
  const { form, caller } = context;
  context.ended.check(caller.sessionIds);
  const unknown = [...form.keys()].find((name) =>
    /^(PolicyArns|Tags|TransitiveTagKeys|SerialNumber|TokenCode)/.test(name),
  );
  if (unknown !== undefined)
    throw new Fault("NotImplemented", { message: `AssumeRole here does not know ${unknown}.` });
  const name = form.get("RoleSessionName") ?? "session";
  if (!/^[\w+=,.@-]{2,64}$/.test(name))
    throw new Fault("ValidationError", { message: "RoleSessionName is not valid." });
  const policy = form.get("Policy") ?? "";
  if (policy.length > MAX_POLICY_CHARACTERS) throw new Fault("PackedPolicyTooLarge");
  if (policy !== "") parsePolicy(policy);
  const policies = policy === "" ? caller.policyTexts : [...caller.policyTexts, policy];
  if (policies.length > MAX_POLICIES) throw new Fault("PackedPolicyTooLarge", { message: "Too many nested sessions." });
  const expiresMs = durationOf(form.get("DurationSeconds"), caller, context.now());
  const role = (form.get("RoleArn") ?? "").split("/").at(-1) || "holdfast";
  const arn = `arn:aws:sts::000000000000:assumed-role/${role}/${name}`;
  const accessKeyId = temporaryKeyId();
  const secretAccessKey = randomBytes(30).toString("base64");
  const token = context.seal.seal({
    accessKeyId,
    secretAccessKey,
    expiresMs,
    policies,
    arn,
    parents: caller.sessionIds,
  });
  const fields: XmlFields = [
    [
      "AssumeRoleResult",
      [
        [
          "AssumedRoleUser",
          [
            ["AssumedRoleId", `${accessKeyId}:${name}`],
            ["Arn", arn],
          ],
        ],
        [
          "Credentials",
          [
            ["AccessKeyId", accessKeyId],
            ["SecretAccessKey", secretAccessKey],
            ["SessionToken", token],
            ["Expiration", new Date(expiresMs).toISOString()],
          ],
        ],
      ],
    ],
    ["ResponseMetadata", [["RequestId", context.requestId]]],
  ];
  return writeXml("AssumeRoleResponse", fields, STS_NAMESPACE);
}
