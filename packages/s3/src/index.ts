export {
  type AddressOptions,
  type CallOptions,
  type CopyOptions,
  type Credentials,
  createS3Client,
  type GetOptions,
  type ListOptions,
  type ListPage,
  type ObjectBody,
  type ObjectHead,
  type PresignOptions,
  type PutOptions,
  type S3Client,
  type S3ClientOptions,
  type StreamBody,
} from "./client/client.ts";
export { isRetryable, S3Error } from "./client/error.ts";
export { type ProbeOptions, type ProbeResult, probe } from "./client/probe.ts";
export {
  type AssumeRoleOptions,
  assumeRole,
  type EndSessionOptions,
  endSession,
  prefixPolicy,
  type TemporaryCredentials,
} from "./client/sts.ts";
export { S3ProcessOptions } from "./config/options.ts";
export { type S3Logger, type S3Server, type S3ServerOptions, startS3Server } from "./server/server.ts";
