import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { awsEncodePath, canonicalQuery, headerText, type QueryList } from "../wire/encode.ts";
import { ALGORITHM, amzDate, type Credentials, scopeText, sign, UNSIGNED_PAYLOAD } from "../wire/sigv4.ts";
import { childrenNamed, childText, parseXml } from "../wire/xml.ts";
import { S3Error } from "./error.ts";
import { requireSendable, type StreamBody } from "./outgoing.ts";
import { type CallOptions, Transport, type TransportOptions } from "./transport.ts";

export interface S3ClientOptions extends TransportOptions {
  /** Only path-style addresses (`endpoint/bucket/key`) are spoken. */
  readonly forcePathStyle?: true | undefined;
}

export interface ObjectHead {
  readonly sizeBytes: number;
  /** Without quotes. */
  readonly etag: string;
  readonly modifiedAt: Date;
  readonly contentType: string | undefined;
  /** User metadata, names without `x-amz-meta-`. */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ObjectBody extends ObjectHead {
  /** Must be read to its end or destroyed. `sizeBytes` is the whole object's size, also for a range. */
  readonly body: IncomingMessage;
}

export interface PutOptions extends CallOptions {
  readonly bucket: string;
  readonly key: string;
  readonly body: string | Uint8Array | StreamBody;
  /** `*`: only if the key does not exist; else S3Error PreconditionFailed. */
  readonly ifNoneMatch?: "*" | undefined;
  /** Only if the object has this etag. */
  readonly ifMatch?: string | undefined;
  readonly contentType?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** SHA-256 in hex, checked and kept by the server. */
  readonly checksumSha256?: string | undefined;
}

export interface AddressOptions extends CallOptions {
  readonly bucket: string;
  readonly key: string;
}

export interface GetOptions extends AddressOptions {
  /** First and last byte, both included; without `end` to the end. */
  readonly range?: { readonly start: number; readonly end?: number } | undefined;
}

export interface ListOptions extends CallOptions {
  readonly bucket: string;
  readonly prefix?: string | undefined;
  readonly delimiter?: string | undefined;
  readonly startAfter?: string | undefined;
  /** Keys per page, at most 1000. */
  readonly pageSize?: number | undefined;
}

export interface ListPage {
  readonly objects: readonly {
    readonly key: string;
    readonly sizeBytes: number;
    readonly etag: string;
    readonly modifiedAt: Date;
  }[];
  readonly commonPrefixes: readonly string[];
}

export interface CopyOptions extends AddressOptions {
  readonly from: { readonly bucket: string; readonly key: string };
}

export interface PresignOptions {
  readonly method: "GET" | "PUT" | "HEAD" | "DELETE";
  readonly bucket: string;
  readonly key: string;
  /** How long the URL is good for, at most seven days. */
  readonly expiresSeconds: number;
  /** Headers that the user of the URL must send exactly so, such as `content-length`, `x-amz-checksum-sha256`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** A light S3 client. Every call takes a signal and a timeout and fails with an S3Error. */
export interface S3Client extends Disposable {
  put(options: PutOptions): Promise<{ etag: string }>;
  get(options: GetOptions): Promise<ObjectBody>;
  /** The object's bytes in one piece: for small objects. */
  getBytes(options: GetOptions): Promise<Buffer>;
  /** Undefined where the key does not exist. */
  head(options: AddressOptions): Promise<ObjectHead | undefined>;
  delete(options: AddressOptions): Promise<void>;
  /** Pages in key order; each holds what it has of objects and common prefixes. */
  list(options: ListOptions): AsyncIterable<ListPage>;
  copy(options: CopyOptions): Promise<{ etag: string }>;
  /** Returns false where the bucket was there already and is ours. */
  createBucket(options: CallOptions & { readonly bucket: string }): Promise<boolean>;
  bucketExists(options: CallOptions & { readonly bucket: string }): Promise<boolean>;
  /** A URL that does one thing for who holds it. @throws S3Error InvalidArgument */
  presign(options: PresignOptions): string;
}

function first(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function unquoted(etag: string | undefined): string {
  return (etag ?? "").replaceAll('"', "");
}

function headOf(headers: IncomingHttpHeaders): ObjectHead {
  const metadata: Record<string, string> = {};
  for (const name of Object.keys(headers)) {
    if (name.startsWith("x-amz-meta-"))
      metadata[name.slice("x-amz-meta-".length)] = headerText(first(headers, name) ?? "");
  }
  const whole = /\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1];
  return {
    sizeBytes: Number(whole ?? headers["content-length"] ?? 0),
    etag: unquoted(headers.etag),
    modifiedAt: new Date(headers["last-modified"] ?? 0),
    contentType: headers["content-type"],
    metadata,
  };
}

function putHeaders(options: PutOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  if (options.ifNoneMatch !== undefined) headers["if-none-match"] = options.ifNoneMatch;
  if (options.ifMatch !== undefined) headers["if-match"] = `"${options.ifMatch}"`;
  if (options.contentType !== undefined) headers["content-type"] = options.contentType;
  if (options.checksumSha256 !== undefined) {
    headers["x-amz-checksum-sha256"] = Buffer.from(options.checksumSha256, "hex").toString("base64");
  }
  for (const [name, value] of Object.entries(options.metadata ?? {}))
    headers[`x-amz-meta-${name.toLowerCase()}`] = value;
  return headers;
}

class Client implements S3Client {
  readonly #options: S3ClientOptions;
  readonly #transport: Transport;

  constructor(options: S3ClientOptions) {
    this.#options = options;
    this.#transport = new Transport(options);
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }

  async put(options: PutOptions): Promise<{ etag: string }> {
    const { bucket, key, body } = options;
    const outgoing = { method: "PUT", path: `/${bucket}/${key}`, headers: putHeaders(options), body, bucket, key };
    const { answer } = await this.#transport.text(outgoing, options);
    return { etag: unquoted(answer.headers.etag) };
  }

  async get(options: GetOptions): Promise<ObjectBody> {
    const answer = await this.#transport.stream(this.#read(options), options);
    return { ...headOf(answer.headers), body: answer };
  }

  async getBytes(options: GetOptions): Promise<Buffer> {
    return await this.#transport.bytes(this.#read(options), options);
  }

  #read({ bucket, key, range }: GetOptions) {
    const headers: Record<string, string> = range ? { range: `bytes=${range.start}-${range.end ?? ""}` } : {};
    return { method: "GET", path: `/${bucket}/${key}`, headers, bucket, key };
  }

  async head(options: AddressOptions): Promise<ObjectHead | undefined> {
    const { bucket, key } = options;
    try {
      const { answer } = await this.#transport.text(
        { method: "HEAD", path: `/${bucket}/${key}`, bucket, key },
        options,
      );
      return headOf(answer.headers);
    } catch (error) {
      if (error instanceof S3Error && error.status === 404) return undefined;
      throw error;
    }
  }

  async delete(options: AddressOptions): Promise<void> {
    const { bucket, key } = options;
    await this.#transport.text({ method: "DELETE", path: `/${bucket}/${key}`, bucket, key }, options);
  }

  async *list(options: ListOptions): AsyncGenerator<ListPage> {
    const { bucket, prefix, delimiter, startAfter, pageSize } = options;
    const fixed: [string, string | undefined][] = [
      ["list-type", "2"],
      ["encoding-type", "url"],
      ["prefix", prefix],
      ["delimiter", delimiter],
      ["start-after", startAfter],
      ["max-keys", pageSize === undefined ? undefined : String(pageSize)],
    ];
    const base = fixed.filter((pair): pair is [string, string] => pair[1] !== undefined);
    for (let token: string | undefined; ; ) {
      const query: QueryList = token === undefined ? base : [...base, ["continuation-token", token]];
      const { text } = await this.#transport.text({ method: "GET", path: `/${bucket}`, query, bucket }, options);
      const root = parseXml(text);
      yield readPage(root);
      token = childText(root, "NextContinuationToken");
      if (childText(root, "IsTruncated") !== "true" || token === undefined) return;
    }
  }

  async copy(options: CopyOptions): Promise<{ etag: string }> {
    const { bucket, key, from } = options;
    requireSendable({ ...from, path: `/${from.bucket}/${from.key}` });
    const headers = { "x-amz-copy-source": awsEncodePath(`/${from.bucket}/${from.key}`) };
    const { text } = await this.#transport.text(
      { method: "PUT", path: `/${bucket}/${key}`, headers, bucket, key },
      options,
    );
    const root = parseXml(text);
    if (root.name === "Error") {
      // S3 may find out after it sent its headers.
      throw new S3Error({
        code: childText(root, "Code") ?? "CopyFailed",
        status: 200,
        message: childText(root, "Message") ?? "",
        bucket,
        key,
      });
    }
    return { etag: unquoted(childText(root, "ETag")) };
  }

  async createBucket(options: CallOptions & { readonly bucket: string }): Promise<boolean> {
    const { bucket } = options;
    const { region } = this.#options;
    const constraint = `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>${region}</LocationConstraint></CreateBucketConfiguration>`;
    const body = region === "us-east-1" ? undefined : constraint;
    try {
      await this.#transport.text({ method: "PUT", path: `/${bucket}`, body, bucket }, options);
      return true;
    } catch (error) {
      if (error instanceof S3Error && error.code === "BucketAlreadyOwnedByYou") return false;
      throw error;
    }
  }

  async bucketExists(options: CallOptions & { readonly bucket: string }): Promise<boolean> {
    const { bucket } = options;
    try {
      await this.#transport.text({ method: "HEAD", path: `/${bucket}`, bucket }, options);
      return true;
    } catch (error) {
      if (error instanceof S3Error && error.status === 404) return false;
      throw error;
    }
  }

  presign(options: PresignOptions): string {
    const { bucket, key, headers: asked = {} } = options;
    requireSendable({ bucket, key, headers: asked, path: `/${bucket}/${key}` });
    const { credentials, region, now = Date.now } = this.#options;
    const endpoint = this.#transport.endpoint;
    const date = amzDate(now());
    const scope = { date: date.slice(0, 8), region, service: "s3" };
    const given = Object.entries(asked).map(([name, value]) => [name.toLowerCase(), value] as const);
    const headers = [["host", endpoint.host] as const, ...given];
    const query: [string, string][] = [
      ["X-Amz-Algorithm", ALGORITHM],
      ["X-Amz-Credential", `${credentials.accessKeyId}/${scopeText(scope)}`],
      ["X-Amz-Date", date],
      ["X-Amz-Expires", String(options.expiresSeconds)],
      [
        "X-Amz-SignedHeaders",
        headers
          .map(([name]) => name)
          .sort()
          .join(";"),
      ],
    ];
    if (credentials.sessionToken !== undefined) query.push(["X-Amz-Security-Token", credentials.sessionToken]);
    const path = awsEncodePath(`/${bucket}/${key}`);
    const payloadHash = UNSIGNED_PAYLOAD;
    const signature = sign({ method: options.method, path, query, headers, payloadHash, credentials, scope, date });
    return `${endpoint.origin}${path}?${canonicalQuery(query)}&X-Amz-Signature=${signature}`;
  }
}

function readPage(root: ReturnType<typeof parseXml>): ListPage {
  const encoded = childText(root, "EncodingType") === "url";
  // Some servers write a space as a plus sign here.
  const decode = (text: string): string => (encoded ? decodeURIComponent(text.replaceAll("+", " ")) : text);
  return {
    objects: childrenNamed(root, "Contents").map((item) => ({
      key: decode(childText(item, "Key") ?? ""),
      sizeBytes: Number(childText(item, "Size") ?? 0),
      etag: unquoted(childText(item, "ETag")),
      modifiedAt: new Date(childText(item, "LastModified") ?? 0),
    })),
    commonPrefixes: childrenNamed(root, "CommonPrefixes").map((item) => decode(childText(item, "Prefix") ?? "")),
  };
}

/** Makes a client for one endpoint and one set of credentials. Dispose of it to close its connections. */
export function createS3Client(options: S3ClientOptions): S3Client {
  return new Client(options);
}

export type { CallOptions, Credentials, StreamBody };
