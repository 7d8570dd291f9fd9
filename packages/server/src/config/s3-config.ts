import type { S3Options } from "./options.ts";

/** Where workspaces are saved, with every default filled in. */
export interface S3Config {
  bucket: string;
  endpoint: string;
  stsEndpoint: string | undefined;
  /** As a sandbox sees it; undefined for AWS itself, which its tools know. */
  sandboxEndpoint: string | undefined;
  /** The name that a sandbox's network policy must allow. */
  sandboxDomain: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
  roleArn: string | undefined;
  allowStaticCredentials: boolean;
}

const bucketName = "agent-docs";

/** Everything may be missing; then this says in words that S3 is not configured. */
export function readS3Config(options: S3Options): S3Config | { missing: string } {
  const missing = (what: string) => ({ missing: `S3 not configured: ${what}` });
  const bucket = options?.buckets?.[bucketName];
  if (!options || !bucket) return missing(`there is no s3.buckets["${bucketName}"]`);
  const { accessKeyId, secretAccessKey } = options;
  if (!accessKeyId || !secretAccessKey) return missing("there is no s3.accessKeyId with s3.secretAccessKey");
  const region = options.region || "us-east-1";
  const isAws = !options.endpoint;
  const endpoint = options.endpoint || `https://s3.${region}.amazonaws.com`;
  const sandboxEndpoint = options.sandboxEndpoint || options.endpoint || undefined;
  return {
    bucket,
    endpoint,
    stsEndpoint: isAws ? `https://sts.${region}.amazonaws.com` : undefined,
    sandboxEndpoint,
    sandboxDomain: options.sandboxDomain || (sandboxEndpoint ? new URL(sandboxEndpoint).hostname : "*.amazonaws.com"),
    region,
    accessKeyId,
    secretAccessKey,
    roleArn: options.roleArn || undefined,
    allowStaticCredentials: options.allowStaticCredentials === true,
  };
}
