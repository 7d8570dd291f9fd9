import { readFileSync } from "node:fs";
import { z } from "zod";

/** The options of the S3 process, secrets included: the JSON file that HOLDFAST_OPTIONS_FILE names. */
export const S3ProcessOptions = z.strictObject({
  /** Made if missing; mode 0700; given to `uid` if one is set. */
  dataDir: z.string().startsWith("/"),
  /** Root key. */
  accessKeyId: z
    .string()
    .min(3)
    .max(128)
    .regex(/^[^/\s]+$/),
  secretAccessKey: z.string().min(16),
  host: z.string().default("127.0.0.1"),
  port: z.int().min(0).max(65535).default(0),
  region: z.string().min(1).default("us-east-1"),
  /** Made at start. */
  buckets: z.array(z.string()).default([]),
  virtualHostDomains: z.array(z.string()).optional(),
  maxConcurrent: z.int().min(1).optional().describe("Requests at once; more wait"),
  idleTimeoutMs: z.int().min(1000).optional().describe("A connection that says nothing is closed after this"),
  keepFreeBytes: z
    .int()
    .min(0)
    .optional()
    .describe("An upload that would leave less of the disk free is refused; by the disk (1 GiB or 2.5 %)"),
  /** Privileges are dropped to these when the process is started by root. */
  uid: z.int().min(1).optional(),
  gid: z.int().min(1).optional(),
  logLevel: z.enum(["debug", "info", "warn", "error", "silent"]).default("info").describe("Of the log on stderr"),
});
export type S3ProcessOptions = z.infer<typeof S3ProcessOptions>;

/** @throws Error that names the variable, the file, or every wrong option */
export function readProcessOptions(): S3ProcessOptions {
  const path = process.env.HOLDFAST_OPTIONS_FILE;
  if (!path) throw new Error("HOLDFAST_OPTIONS_FILE is not set; it names the JSON file with this process's options");
  const parsed = S3ProcessOptions.safeParse(JSON.parse(readFileSync(path, "utf8")));
  if (parsed.success) return parsed.data;
  throw new Error(`options in ${path} are not valid:\n${z.prettifyError(parsed.error)}`);
}
