import type { Credentials } from "../wire/sigv4.ts";
import { child, childText, parseXml } from "../wire/xml.ts";
import { S3Error } from "./error.ts";
import { type CallOptions, Transport } from "./transport.ts";

export interface AssumeRoleOptions extends CallOptions {
  /** Of STS; a self-hosted S3 usually serves it at its own address. */
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: Credentials;
  /** Session policy: the result may do what this and the caller's own rights both allow. */
  readonly policy?: object | undefined;
  /** At least 900. */
  readonly durationSeconds: number;
  /** AWS and Ceph need one; the embedded server does not look at it. */
  readonly roleArn?: string | undefined;
  readonly sessionName: string;
}

export interface EndSessionOptions extends CallOptions {
  /** Of STS. */
  readonly endpoint: string;
  readonly region: string;
  /** Those that the temporary ones were asked for with. */
  readonly credentials: Credentials;
  readonly sessionToken: string;
}

export interface TemporaryCredentials extends Credentials {
  readonly sessionToken: string;
  readonly expiresAt: Date;
}

/**
 * Asks STS for temporary credentials.
 * @throws S3Error; NotImplemented, InvalidAction, MethodNotAllowed and the like where the endpoint has no STS
 */
export async function assumeRole(options: AssumeRoleOptions): Promise<TemporaryCredentials> {
  const form = new URLSearchParams({
    Action: "AssumeRole",
    Version: "2011-06-15",
    DurationSeconds: String(options.durationSeconds),
    RoleSessionName: options.sessionName,
    RoleArn: options.roleArn ?? "arn:aws:iam::000000000000:role/holdfast",
  });
  if (options.policy) form.set("Policy", JSON.stringify(options.policy));
  using transport = new Transport(options);
  const headers = { "content-type": "application/x-www-form-urlencoded; charset=utf-8" };
  const outgoing = { method: "POST", path: "/", headers, body: form.toString(), service: "sts" as const };
  const { text } = await transport.text(outgoing, options);
  return readCredentials(text);
}

/**
 * Ends temporary credentials before their time: nothing is written with them from then on. An extension of the embedded
 * server; elsewhere they last as long as they were given for.
 * @returns false where the endpoint cannot
 * @throws S3Error where it can and did not
 */
export async function endSession(options: EndSessionOptions): Promise<boolean> {
  const form = new URLSearchParams({
    Action: "HoldfastEndSession",
    Version: "2011-06-15",
    SessionToken: options.sessionToken,
  });
  using transport = new Transport(options);
  const headers = { "content-type": "application/x-www-form-urlencoded; charset=utf-8" };
  const outgoing = { method: "POST", path: "/", headers, body: form.toString(), service: "sts" as const };
  try {
    await transport.text(outgoing, options);
    return true;
  } catch (error) {
    // What AWS, MinIO and Ceph say to an action that they do not know.
    if (error instanceof S3Error && error.status >= 400 && error.status < 500 && error.code !== "RequestTimeout") {
      return false;
    }
    if (error instanceof S3Error && error.status === 501) return false;
    throw error;
  }
}

function readCredentials(text: string): TemporaryCredentials {
  const invalid = (cause?: unknown): S3Error =>
    new S3Error({ code: "NotSts", status: 200, message: "the endpoint's answer is not STS's", cause });
  let found: ReturnType<typeof child>;
  try {
    const result = child(parseXml(text), "AssumeRoleResult");
    found = result && child(result, "Credentials");
  } catch (cause) {
    throw invalid(cause);
  }
  const accessKeyId = found && childText(found, "AccessKeyId");
  const secretAccessKey = found && childText(found, "SecretAccessKey");
  const sessionToken = found && childText(found, "SessionToken");
  const expiration = found && childText(found, "Expiration");
  if (!accessKeyId || !secretAccessKey || !sessionToken || !expiration) throw invalid();
  return { accessKeyId, secretAccessKey, sessionToken, expiresAt: new Date(expiration) };
}

/** The session policy for one prefix: put, get and list below it, never a delete. */
export function prefixPolicy(bucket: string, prefix: string): object {
  const objects = `arn:aws:s3:::${bucket}/${prefix}*`;
  const reads = ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"];
  return {
    Version: "2012-10-17",
    Statement: [
      { Effect: "Allow", Action: reads, Resource: objects },
      {
        Effect: "Allow",
        Action: "s3:ListBucket",
        Resource: `arn:aws:s3:::${bucket}`,
        Condition: { StringLike: { "s3:prefix": `${prefix}*` } },
      },
      { Effect: "Deny", Action: "s3:Delete*", Resource: "*" },
    ],
  };
}
