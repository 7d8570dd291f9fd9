import type { ServerResponse } from "node:http";
import type { Authenticated } from "./auth.ts";
import type { S3Request } from "./request.ts";
import type { ObjectStore } from "./store/store.ts";
import type { UploadStore } from "./store/uploads.ts";

/** What an operation works with. */
export interface OperationContext {
  readonly request: S3Request;
  readonly response: ServerResponse;
  readonly auth: Authenticated;
  readonly store: ObjectStore;
  readonly uploads: UploadStore;
  readonly region: string;
  readonly now: () => number;
  readonly logger: { error(fields: object, message: string): void } | undefined;
}

export type Operation = (context: OperationContext) => Promise<void>;

export function objectArn(bucket: string, key: string): string {
  return `arn:aws:s3:::${bucket}/${key}`;
}

/** What the list of buckets is about. */
export const ALL_BUCKETS = "arn:aws:s3:::*";

export function bucketArn(bucket: string): string {
  return `arn:aws:s3:::${bucket}`;
}

/** For the time when only the disk works: a slow fsync is no reason to cut the connection. */
export async function withoutIdleTimeout<T>(request: S3Request, work: () => Promise<T>): Promise<T> {
  const { socket } = request.raw;
  const beforeMs = socket.timeout ?? 0;
  socket.setTimeout(0);
  try {
    return await work();
  } finally {
    socket.setTimeout(beforeMs);
  }
}

/** Sends an XML document. */
export function sendXml(response: ServerResponse, xml: string, status = 200): void {
  const body = Buffer.from(xml);
  response.writeHead(status, { "content-type": "application/xml", "content-length": body.length });
  response.end(body);
}

/** Sends headers only. */
export function sendEmpty(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, status === 204 || status === 304 ? headers : { ...headers, "content-length": "0" });
  response.end();
}
