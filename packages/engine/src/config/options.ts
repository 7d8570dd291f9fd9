import { z } from "zod";

/** What an image name of `FROM` stands for. */
export const RegistryEntry = z.union([
  z.object({ base: z.enum(["debian", "node"]).describe("a base that the engine builds itself") }),
  z.object({
    directory: z.string().startsWith("/").describe("a root file system on this machine, owned by plain ids"),
  }),
]);
export type RegistryEntry = z.infer<typeof RegistryEntry>;

const gib = 2 ** 30;
const bytes = z
  .number()
  .int()
  .min(16 * 2 ** 20);
const port = z.number().int().min(0).max(65_535);

/** The engine's options; `main.ts` reads them as JSON from the file that HOLDFAST_OPTIONS_FILE names. */
export const EngineOptions = z.object({
  dataDir: z.string().startsWith("/").describe("root-only directory for everything that lasts"),
  imageCacheDir: z
    .string()
    .startsWith("/")
    .optional()
    .describe("where image layers lie, when several engines share them; else below dataDir"),
  host: z.enum(["127.0.0.1", "localhost"]).default("127.0.0.1").describe("loopback only: the wire is plain text"),
  port: port.default(0).describe("0: chosen once, then kept in the state so that clients find it again"),
  tokenId: z.string().min(1),
  tokenSecret: z.string().min(1),
  publishedServices: z
    .array(
      z.object({
        name: z.string().min(1),
        port: port.min(1),
        target: z.object({ host: z.string().min(1), port: port.min(1) }),
        announce: z
          .boolean()
          .default(false)
          .describe(
            "connections begin with a PROXY header (version 2) that names the sandbox (0xE0) and its owner (0xE1)",
          ),
      }),
    )
    .default([])
    .describe("services of this host that sandboxes reach under a name"),
  ociRuntime: z
    .enum(["auto", "crun", "runc", "runsc"])
    .default("auto")
    .describe("What runs sandboxes; auto takes the first that is installed"),
  honourImageUser: z
    .boolean()
    .default(false)
    .describe("false: as on today's Modal everything runs as root; true: as the image's USER (Modal of 2024)"),
  sandboxDefaults: z
    .object({
      timeoutMs: z.number().int().positive().default(300_000).describe("life of a sandbox that asks for none"),
      maxTimeoutMs: z.number().int().positive().default(86_400_000).describe("no sandbox may ask for more"),
      memoryBytes: z.number().int().positive().optional().describe("hard limit unless the sandbox asks for another"),
      milliCpu: z.number().int().positive().optional().describe("1000 = one core"),
      pids: z.number().int().positive().default(1024).describe("processes and threads of a sandbox"),
    })
    .prefault({}),
  disk: z
    .object({
      quota: z
        .enum(["auto", "project", "image", "soft"])
        .default("auto")
        .describe("what holds the limits; auto takes the best that works here, and `holdfast doctor` tells which"),
      scratchBytes: bytes.default(10 * gib).describe("what a sandbox may write outside of its volumes"),
      volumeBytes: bytes.default(10 * gib).describe("size of a volume, unless `volumeSizes` names another"),
      volumeSizes: z
        .array(z.object({ nameEndsWith: z.string().min(1), bytes }))
        .default([])
        .describe("sizes of volumes by the end of their names; the first that fits counts"),
      accountBytes: bytes
        .default(200 * gib)
        .describe("what all volumes of one account may take on the disk; above it none of its sandboxes starts"),
      bytesPerInode: z
        .number()
        .int()
        .min(4_096)
        .default(16_384)
        .describe("one file or directory is allowed for so many bytes of a limit"),
      convertUpToBytes: z
        .number()
        .int()
        .min(0)
        .default(gib)
        .describe("a larger volume from before there were limits is only counted; raise it to have it converted"),
    })
    .prefault({}),
  keepFree: z
    .object({
      diskBytes: z
        .number()
        .int()
        .min(0)
        .optional()
        .describe("below it nothing new is begun, at half of it the account that writes most is ended; by the machine"),
      memoryBytes: z.number().int().min(0).optional().describe("the same of memory"),
    })
    .prefault({}),
  memory: z
    .object({
      totalBytes: z
        .number()
        .int()
        .positive()
        .optional()
        .describe("what all sandboxes together may use; absent: the machine's"),
      overcommit: z
        .number()
        .positive()
        .default(4)
        .describe(
          "what all sandboxes reserve together may be this many times that memory (less `keepFree.memoryBytes`)",
        ),
      accountShare: z.number().positive().max(1).default(0.5).describe("the part of that which one account may have"),
    })
    .prefault({}),
  registry: z.record(z.string(), RegistryEntry).default({}).describe("more image names, or others for built-in ones"),
  buildPrivateNetworks: z
    .array(z.string().regex(/^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/, "a network like 10.1.0.0/16"))
    .default([])
    .describe(
      "private networks that image builds may reach (a mirror, a proxy); others of 10/8, 172.16/12, 192.168/16 are refused",
    ),
  buildAbandonedMs: z
    .number()
    .int()
    .positive()
    .default(30_000)
    .describe("how long a build goes on when nobody waits for it"),
  buildTimeoutMs: z.number().int().positive().default(1_800_000).describe("for one image step"),
  outputRetentionMs: z
    .number()
    .int()
    .positive()
    .default(3_600_000)
    .describe("how long the output of a finished sandbox stays readable"),
  housekeepingMs: z
    .number()
    .int()
    .positive()
    .default(60_000)
    .describe("how often what is old or nobody's is looked for and dropped"),
  recordRetentionMs: z
    .number()
    .int()
    .positive()
    .default(7 * 86_400_000)
    .describe("how long a finished sandbox can be asked for its result"),
  abandonedExecMs: z
    .number()
    .int()
    .positive()
    .default(15_000)
    .describe("how long an exec runs that started when its caller had gone, unless somebody asks about it"),
  diskReserveBytes: z
    .number()
    .int()
    .min(0)
    .default(256 * 1024 * 1024)
    .describe("room on the disk that is given up when it is full, so that sandboxes can still be ended; 0: none"),
  output: z
    .object({
      sandboxBytes: z
        .number()
        .int()
        .min(1024 * 1024)
        .default(1024 ** 3)
        .describe("what a sandbox's processes printed is kept on disk up to this; beyond it the oldest goes"),
      accountBytes: z
        .number()
        .int()
        .min(1024 * 1024)
        .default(4 * 1024 ** 3)
        .describe("the same for all sandboxes of one account together"),
      execRetentionMs: z
        .number()
        .int()
        .positive()
        .default(300_000)
        .describe("an exec that has ended is forgotten so long after its exit was read"),
    })
    .prefault({}),
  logLevel: z
    .enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"])
    .default("info")
    .describe("of the log on stderr"),
});
/** Options with every default filled in. */
export type EngineOptions = z.infer<typeof EngineOptions>;
/** Options as a caller gives them. */
export type EngineOptionsInput = z.input<typeof EngineOptions>;

/** Parses options; the error lists every problem at once. */
export function parseOptions(input: unknown): EngineOptions {
  const parsed = EngineOptions.safeParse(input);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join(".") || "options"}: ${issue.message}`);
  throw new Error(`the engine's options are wrong: ${problems.join("; ")}`);
}
