import { childText, parseXml } from "../wire/xml.ts";

/** What a reader of the error can do about it, for the codes where that is known. */
const REMEDIES: Record<string, string> = {
  AccessDenied: "check that these credentials may do this under this prefix",
  ExpiredToken: "ask for new temporary credentials",
  InsufficientStorage: "free space on the storage server and try again",
  InvalidAccessKeyId: "check the access key id and that the endpoint is the one it belongs to",
  InvalidToken: "ask for new temporary credentials; the old ones end when the server's root key changes",
  NoSuchBucket: "create the bucket or correct its name in the configuration",
  PermanentRedirect: "set the bucket's own region in the configuration",
  AuthorizationHeaderMalformed: "set the bucket's own region in the configuration",
  RequestTimeTooSkewed: "correct this machine's clock",
  SignatureDoesNotMatch: "check the secret access key",
  ECONNREFUSED: "check the endpoint's address and that the server runs",
  ENOTFOUND: "check the endpoint's host name",
};

export interface S3ErrorOptions {
  /** S3's error code, or a connection error such as ECONNREFUSED. */
  readonly code: string;
  /** HTTP status; 0 where no answer came. */
  readonly status: number;
  readonly message: string;
  readonly requestId?: string | undefined;
  readonly bucket?: string | undefined;
  readonly key?: string | undefined;
  readonly cause?: unknown;
}

/** A call to S3 that failed. `message` says what, where and, if known, what to do. */
export class S3Error extends Error {
  override readonly name = "S3Error";
  readonly code: string;
  readonly status: number;
  readonly requestId: string | undefined;
  readonly bucket: string | undefined;
  readonly key: string | undefined;
  readonly remedy: string | undefined;

  constructor(options: S3ErrorOptions) {
    const remedy = REMEDIES[options.code];
    const where = options.bucket === undefined ? "" : ` (s3://${options.bucket}/${options.key ?? ""})`;
    const todo = remedy === undefined ? "" : `; ${remedy}`;
    super(
      `${options.code}: ${options.message}${where}${todo}`,
      options.cause === undefined ? {} : { cause: options.cause },
    );
    this.code = options.code;
    this.status = options.status;
    this.requestId = options.requestId;
    this.bucket = options.bucket;
    this.key = options.key;
    this.remedy = remedy;
  }
}

/** Of what never reached a server. */
const NOT_BETTER_NEXT_TIME = ["TimeoutError", "ENOTFOUND", "InvalidArgument", "BodyLengthMismatch"];

/** Whether trying again may help. A full disk (507) is not among them: it does not empty by itself. */
export function isRetryable(error: S3Error): boolean {
  if (error.status === 0) return !NOT_BETTER_NEXT_TIME.includes(error.code);
  if (error.code === "RequestTimeout" || error.code === "ConditionalRequestConflict") return true;
  return error.status === 429 || [500, 502, 503, 504].includes(error.status);
}

const CODE_OF_STATUS: Record<number, string> = {
  301: "PermanentRedirect",
  304: "NotModified",
  403: "AccessDenied",
  404: "NoSuchKey",
  412: "PreconditionFailed",
  429: "SlowDown",
  503: "SlowDown",
};

export interface ErrorAnswer {
  readonly status: number;
  readonly body: string;
  readonly requestId: string | undefined;
  readonly bucket?: string | undefined;
  readonly key?: string | undefined;
}

/** Reads an error answer; HEAD and proxies give none or none in XML. */
export function errorFromAnswer(answer: ErrorAnswer): S3Error {
  let code = CODE_OF_STATUS[answer.status] ?? `Http${answer.status}`;
  let message = `the server answered with status ${answer.status}`;
  if (answer.status === 404 && answer.key === undefined && answer.bucket !== undefined) code = "NoSuchBucket";
  try {
    const root = parseXml(answer.body);
    const error = root.name === "ErrorResponse" ? (root.children.find((c) => c.name === "Error") ?? root) : root;
    code = childText(error, "Code") ?? code;
    message = childText(error, "Message") ?? message;
  } catch {
    // Not XML: what the status says is all there is.
  }
  return new S3Error({ ...answer, code, message });
}
