/** Every error the server answers with: HTTP status and default message. Names are S3's own wherever S3 has one. */
const CATALOGUE = {
  AccessDenied: [403, "Access Denied"],
  AuthorizationHeaderMalformed: [400, "The authorization header is malformed."],
  AuthorizationQueryParametersError: [400, "The query parameters of the signature are malformed."],
  BadDigest: [400, "The checksum you specified did not match what was received."],
  BucketAlreadyOwnedByYou: [409, "The bucket exists and you own it."],
  BucketNotEmpty: [409, "The bucket you tried to delete is not empty."],
  EntityTooLarge: [400, "The proposed upload exceeds the maximum allowed size."],
  EntityTooSmall: [400, "A part other than the last is smaller than 5 MiB."],
  ExpiredToken: [400, "The provided token has expired. Ask for new temporary credentials."],
  IncompleteBody: [400, "The number of bytes received does not match the length announced."],
  InternalError: [500, "An internal error occurred; it is in the server's log under the request id."],
  InvalidAccessKeyId: [403, "The access key id does not exist here."],
  InvalidArgument: [400, "Invalid argument."],
  InvalidBucketName: [400, "The bucket name is not valid."],
  InvalidDigest: [400, "The Content-MD5 or checksum value is not valid."],
  InvalidPart: [400, "A part was not found, or its ETag did not match."],
  InvalidPartOrder: [400, "Parts must be listed once each, in ascending order."],
  InvalidRange: [416, "The requested range is not satisfiable."],
  InvalidRequest: [400, "The request is not valid."],
  InvalidToken: [400, "The session token is malformed or was not made by this server."],
  InvalidURI: [400, "The URI could not be parsed."],
  KeyTooLongError: [400, "The key is longer than 1024 bytes."],
  MalformedPolicyDocument: [400, "The session policy is not valid."],
  MalformedXML: [400, "The XML you provided is not well-formed or not what this operation takes."],
  MetadataTooLarge: [400, "Metadata headers exceed 2 KB."],
  MethodNotAllowed: [405, "The method is not allowed against this resource."],
  MissingContentLength: [411, "You must provide the Content-Length HTTP header."],
  NoSuchBucket: [404, "The bucket does not exist."],
  NoSuchKey: [404, "The key does not exist."],
  NoSuchUpload: [404, "The upload does not exist; it may have been completed or aborted."],
  NotImplemented: [501, "This server does not implement that."],
  NotModified: [304, "Not Modified"],
  PackedPolicyTooLarge: [400, "The session policy is longer than 2048 characters."],
  PreconditionFailed: [412, "At least one of the preconditions you specified did not hold."],
  RequestTimeTooSkewed: [403, "The difference between the request time and the server's time is too large."],
  RequestTimeout: [400, "The body was not received within the time allowed."],
  SignatureDoesNotMatch: [403, "The signature does not match. Check the secret key and the signing method."],
  SlowDown: [503, "Too many requests at once; please try again."],
  // Neither 503 (clients would retry a full disk for ever) nor a quota: 507 is retried by no client we know.
  InsufficientStorage: [507, "The server's disk is full. Nothing was stored; free space and send it again."],
  ValidationError: [400, "A parameter is not valid."],
  XAmzContentSHA256Mismatch: [400, "The x-amz-content-sha256 header does not match what was received."],
} as const satisfies Record<string, readonly [status: number, message: string]>;

export type FaultCode = keyof typeof CATALOGUE;

export interface FaultOptions {
  readonly message?: string;
  /** Extra child elements of the error document. */
  readonly details?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** An error that a client is to see. */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: FaultCode;
  readonly status: number;
  readonly details: Readonly<Record<string, string>>;

  constructor(code: FaultCode, options: FaultOptions = {}) {
    const [status, message] = CATALOGUE[code];
    super(options.message ?? message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = status;
    this.details = options.details ?? {};
  }
}

/** The error code of a failed system call, such as `ENOENT`. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** Turns anything thrown into what the client is told. */
export function toFault(error: unknown): Fault {
  if (error instanceof Fault) return error;
  const errno = errnoOf(error);
  if (errno === "ENOSPC" || errno === "EDQUOT" || errno === "EFBIG") {
    return new Fault("InsufficientStorage", { cause: error });
  }
  if (errno === "EMFILE" || errno === "ENFILE") return new Fault("SlowDown", { cause: error });
  return new Fault("InternalError", { cause: error });
}
