import { z } from "zod";
import { Metadata, MetadataPatch } from "./metadata.ts";

/** Names and versions as apt, npm and pip write them; quoted all the same before a shell sees them. */
const Package = z.string().regex(/^[A-Za-z0-9@][A-Za-z0-9@._+:/=~<>^!,[\]*-]{0,200}$/, "is not a package name");
const packages = z.array(Package).max(100).nullable().optional();
const none = z
  .array(z.never({ error: "this package manager is not supported" }))
  .nullable()
  .optional();

const closed = z
  .literal(false, { error: "only false is supported: a sandbox reaches the model and the storage, nothing else" })
  .nullable()
  .optional();

const EnvironmentConfigParams = z.strictObject({
  type: z.literal("cloud", { error: "only cloud is supported" }),
  networking: z
    .strictObject({
      type: z.literal("limited", {
        error: 'use {"type": "limited"}, or leave it out: a sandbox reaches the model and the storage, nothing else',
      }),
      allowed_hosts: z
        .array(z.never({ error: "allowing hosts is not supported" }))
        .nullable()
        .optional(),
      allow_mcp_servers: closed,
      allow_package_managers: closed,
    })
    .nullable()
    .optional(),
  packages: z
    .strictObject({
      type: z.literal("packages").optional(),
      apt: packages,
      npm: packages,
      pip: packages,
      cargo: none,
      gem: none,
      go: none,
    })
    .nullable()
    .optional(),
});
export type EnvironmentConfigParams = z.infer<typeof EnvironmentConfigParams>;

/** Ours: Dockerfile commands that run as root after the packages are in. */
const ImageCommand = z
  .string()
  .max(10_000)
  .regex(/^(RUN|ENV) \S/, "must begin with RUN or ENV")
  .refine((text) => !["\r", "\n", "\u0000"].some((each) => text.includes(each)), "must be one line");

const HoldfastFields = z.strictObject({ image_commands: z.array(ImageCommand).max(50).optional() });

const fields = {
  name: z.string().min(1).max(256),
  description: z.string().max(2048).nullable().optional(),
  config: EnvironmentConfigParams.nullable().optional(),
  scope: z.literal("account", { error: "only account is supported" }).nullable().optional(),
  holdfast: HoldfastFields.nullable().optional(),
};

/** What `POST /v1/environments` takes. */
export const EnvironmentCreate = z.object({ ...fields, metadata: Metadata.optional() });
export type EnvironmentCreate = z.infer<typeof EnvironmentCreate>;

/** What `POST /v1/environments/{id}` takes: what is left out stays. */
export const EnvironmentUpdate = z.object({
  ...fields,
  name: fields.name.nullable().optional(),
  metadata: MetadataPatch.optional(),
});
export type EnvironmentUpdate = z.infer<typeof EnvironmentUpdate>;

const names = z.array(z.string());

export const EnvironmentConfig = z.object({
  type: z.literal("cloud"),
  networking: z.object({
    type: z.literal("limited"),
    allowed_hosts: names,
    allow_mcp_servers: z.literal(false),
    allow_package_managers: z.literal(false),
  }),
  packages: z.object({
    type: z.literal("packages"),
    apt: names,
    cargo: names,
    gem: names,
    go: names,
    npm: names,
    pip: names,
  }),
});
export type EnvironmentConfig = z.infer<typeof EnvironmentConfig>;

/** An environment in Managed Agents' shape. Times are RFC 3339. */
export const Environment = z.object({
  id: z.string(),
  type: z.literal("environment"),
  name: z.string(),
  description: z.string().nullable(),
  config: EnvironmentConfig,
  metadata: z.record(z.string(), z.string()),
  scope: z.literal("account"),
  created_at: z.string(),
  updated_at: z.string(),
  archived_at: z.string().nullable(),
  holdfast: z.object({
    image_commands: names,
    image: z.object({
      /** `not_built`: its first session builds it. */
      state: z.enum(["not_built", "building", "ready", "failed"]),
      /** What is being built, or the last words of what failed. */
      detail: z.string().nullable(),
      /** Layers. */
      done: z.number().int(),
      total: z.number().int().nullable(),
    }),
  }),
});
export type Environment = z.infer<typeof Environment>;
