import { describe, expect, test } from "vitest";
import { type Bound, misjudged, withAt, wordsFor, wrongAt } from "../test/_kit.ts";
import { environmentCreate } from "../test/examples/environments.ts";
import { EnvironmentCreate, EnvironmentUpdate } from "./environment.ts";

test("an environment needs a name and nothing else", () => {
  expect(EnvironmentCreate.parse({ name: "python" })).toEqual({ name: "python" });
  expect(wrongAt(EnvironmentCreate, {})).toEqual(["name"]);
});

test("an update may change nothing, and tells null from absent", () => {
  expect(EnvironmentUpdate.parse({})).toEqual({});
  const cleared = { name: null, description: null, config: null, scope: null, holdfast: null };
  expect(EnvironmentUpdate.parse(cleared)).toEqual(cleared);
  expect(EnvironmentUpdate.parse({ metadata: { team: null } })).toEqual({ metadata: { team: null } });
});

test("a new one has a name that is one, and metadata that are some", () => {
  expect(wrongAt(EnvironmentCreate, { name: null })).toEqual(["name"]);
  expect(wrongAt(EnvironmentCreate, { name: "a", metadata: { team: null } })).toEqual(["metadata.team"]);
  expect(wrongAt(EnvironmentCreate, { name: "a", metadata: null })).toEqual(["metadata"]);
});

const many = (length: number, item: string) => Array.from({ length }, () => item);

const bounds: Bound[] = [
  { rule: "a name has 1 to 256 characters", at: "name", takes: ["a", "n".repeat(256)], refuses: ["", "n".repeat(257)] },
  {
    rule: "a description has up to 2048 characters",
    at: "description",
    takes: ["", "d".repeat(2048)],
    refuses: ["d".repeat(2049)],
  },
  { rule: "it is in the cloud", at: "config.type", takes: ["cloud"], refuses: ["self_hosted", "local"] },
  { rule: "it belongs to the account", at: "scope", takes: ["account", null], refuses: ["organization", "workspace"] },
  {
    rule: "its network is limited",
    at: "config.networking.type",
    takes: ["limited"],
    refuses: ["unrestricted", "none"],
  },
  {
    rule: "no host is allowed",
    at: "config.networking.allowed_hosts",
    takes: [[], null],
    refuses: [],
  },
  {
    rule: "MCP servers are not reached",
    at: "config.networking.allow_mcp_servers",
    takes: [false, null],
    refuses: [true, 0, "false"],
  },
  {
    rule: "package managers reach nothing later",
    at: "config.networking.allow_package_managers",
    takes: [false, null],
    refuses: [true, 0, "false"],
  },
  {
    rule: "packages of one kind are up to 100",
    at: "config.packages.apt",
    takes: [[], many(100, "jq"), null],
    refuses: [many(101, "jq")],
  },
  {
    rule: "a package has a name of 1 to 201 characters",
    at: "config.packages.npm.0",
    takes: ["a", `a${"b".repeat(200)}`],
    refuses: ["", `a${"b".repeat(201)}`],
  },
  {
    rule: "packages are written as their managers write them",
    at: "config.packages.pip.0",
    takes: ["numpy==2.4", "uvicorn[standard]>=0.30,<1", "@types/node@^24", "g++", "libc6:arm64", "a~=1.*", "x!=2"],
    refuses: [],
  },
  {
    rule: "a package is no option, and holds nothing that a shell reads",
    at: "config.packages.apt.0",
    takes: [],
    refuses: [
      "-y",
      "--index-url",
      ".",
      "a b",
      "a;b",
      "a&b",
      "a|b",
      "$(id)",
      "`id`",
      "a\nb",
      "jq\n",
      "a'b",
      "a\\b",
      "(a)",
    ],
  },
  {
    rule: "commands are up to 50",
    at: "holdfast.image_commands",
    takes: [[], many(50, "RUN true")],
    refuses: [many(51, "RUN true")],
  },
  {
    rule: "a command has up to 10000 characters",
    at: "holdfast.image_commands.0",
    takes: [`RUN ${"x".repeat(9_996)}`],
    refuses: [`RUN ${"x".repeat(9_997)}`],
  },
  {
    rule: "a command runs something or sets a variable",
    at: "holdfast.image_commands.0",
    takes: ["RUN make", "ENV A=b", 'RUN ["make"]', "RUN --mount=type=cache make"],
    refuses: ["", "RUN", "RUN ", "RUN  make", "run make", " RUN make", "FROM x", "USER root", "COPY a b", "RUNmake"],
  },
  {
    rule: "a command is one line",
    at: "holdfast.image_commands.0",
    takes: ["RUN a\tb"],
    refuses: ["RUN a\nUSER root", "RUN a\r\nUSER root", "RUN a\n", "RUN a\rb", "RUN a\u0000b"],
  },
];

describe.each([
  ["EnvironmentCreate", EnvironmentCreate],
  ["EnvironmentUpdate", EnvironmentUpdate],
])("%s", (_name, schema) => {
  test.each(bounds)("$rule", (bound) => {
    expect(misjudged(schema, environmentCreate, bound)).toEqual([]);
  });
});

test.each([
  ["config.networking.allowed_hosts", "allowing hosts is not supported"],
  ["config.packages.cargo", "this package manager is not supported"],
  ["config.packages.gem", "this package manager is not supported"],
  ["config.packages.go", "this package manager is not supported"],
])("%s may only be empty, and says why", (at, words) => {
  const asked = withAt(environmentCreate, at, ["example"]);
  expect(wrongAt(EnvironmentCreate, asked)).toEqual([`${at}.0`]);
  expect(wordsFor(EnvironmentCreate, asked)).toEqual([words]);
});

test.each([
  ["config.type", "local", "only cloud is supported"],
  ["config.networking.type", "unrestricted", "leave it out"],
  ["config.networking.allow_mcp_servers", true, "only false is supported"],
  ["scope", "organization", "only account is supported"],
  ["holdfast.image_commands.0", "FROM debian", "must begin with RUN or ENV"],
  ["holdfast.image_commands.0", "RUN a\nRUN b", "must be one line"],
  ["config.packages.apt.0", "-y", "is not a package name"],
])("%s as %j says what is right", (at, value, words) => {
  expect(wordsFor(EnvironmentCreate, withAt(environmentCreate, at, value)).join()).toContain(words);
});
