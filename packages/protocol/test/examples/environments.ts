import { Environment, EnvironmentConfig, EnvironmentCreate, EnvironmentUpdate } from "../../src/environment.ts";
import type { Shape } from "./shape.ts";

export const environment: Environment = {
  id: "env_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  type: "environment",
  name: "python",
  description: "With numpy",
  config: {
    type: "cloud",
    networking: {
      type: "limited",
      allowed_hosts: ["example.org"],
      allow_mcp_servers: false,
      allow_package_managers: false,
    },
    packages: {
      type: "packages",
      apt: ["jq"],
      cargo: ["ripgrep"],
      gem: ["rake"],
      go: ["golang.org/x/tools"],
      npm: ["typescript@7"],
      pip: ["numpy==2.4"],
    },
  },
  metadata: { team: "core" },
  scope: "account",
  created_at: "2026-03-01T09:00:00Z",
  updated_at: "2026-03-02T09:00:00Z",
  archived_at: "2026-03-03T09:00:00Z",
  holdfast: {
    image_commands: ["RUN make"],
    image: { state: "building", detail: "RUN make", done: 2, total: 5 },
  },
};

/** Everything that may be written; what is only accepted when it is empty stands in its own tests. */
export const environmentCreate: EnvironmentCreate = {
  name: "python",
  description: "With numpy",
  config: {
    type: "cloud",
    networking: { type: "limited", allowed_hosts: [], allow_mcp_servers: false, allow_package_managers: false },
    packages: { type: "packages", apt: ["jq"], npm: ["typescript@7"], pip: ["numpy==2.4"], cargo: [], gem: [], go: [] },
  },
  scope: "account",
  holdfast: { image_commands: ["RUN make"] },
  metadata: { team: "core" },
};

const networking = "config.networking";
const packages = "config.packages";
const lists = ["apt", "npm", "pip", "cargo", "gem", "go"].map((name) => `${packages}.${name}`);
const switches = ["allowed_hosts", "allow_mcp_servers", "allow_package_managers"].map(
  (name) => `${networking}.${name}`,
);
const nullable = ["description", "config", "scope", "holdfast", networking, packages, ...lists, ...switches];

const written = {
  nullable,
  optional: [...nullable, `${packages}.type`, "holdfast.image_commands", "metadata"],
  fixed: ["config.type", `${networking}.type`, `${packages}.type`, "scope"],
  ruled: ["name", "description", "holdfast.image_commands.0", "metadata.team", ...lists.map((place) => `${place}.0`)],
  closed: ["config", networking, packages, "holdfast"],
  records: ["metadata"],
};

export const environmentShapes: readonly Shape[] = [
  {
    name: "Environment",
    schema: Environment,
    example: environment,
    fixed: ["type", "config.type", `${networking}.type`, `${packages}.type`, "scope"],
    ruled: switches.slice(1),
    nullable: ["description", "archived_at", "holdfast.image.detail", "holdfast.image.total"],
    whole: ["holdfast.image.done", "holdfast.image.total"],
    choices: { "holdfast.image.state": ["not_built", "building", "ready", "failed"] },
    records: ["metadata"],
  },
  {
    name: "EnvironmentConfig",
    schema: EnvironmentConfig,
    example: environment.config,
    fixed: ["type", "networking.type", "packages.type"],
  },
  { name: "EnvironmentCreate", schema: EnvironmentCreate, example: environmentCreate, ...written },
  {
    name: "EnvironmentUpdate",
    schema: EnvironmentUpdate,
    example: environmentCreate,
    ...written,
    optional: ["name", ...written.optional],
    nullable: ["name", "metadata.team", ...written.nullable],
    ruled: [...written.ruled, "name"],
  },
];
