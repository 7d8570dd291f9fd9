import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { notDone, refuseNotDone } from "./options.ts";

/** Fields that the engine acts on, or checks and refuses elsewhere by a rule of their own. */
const honoured: Record<string, string> = {
  SandboxCreateV2Request: "appId definition ephemeralSecrets tags secretSources",
  Sandbox: `openPorts entrypointArgs imageId secretIds resources timeoutSecs workdir blockNetwork volumeMounts networkAccess
    cloudProviderStr schedulerPlacement name idleTimeoutSecs readinessProbe environmentVariables`,
  Resources: "memoryMb memoryMbMax milliCpuMax",
  Image: "baseImages dockerfileCommands secretIds buildArgs imageRegistryConfig",
  ImageGetOrCreateRequest: "image appId forceBuild",
  VolumeGetOrCreateRequest: "deploymentName environmentName objectCreationType version",
  VolumeMount: "volumeId mountPath readOnly subPath",
  SecretGetOrCreateRequest: "deploymentName environmentName objectCreationType envDict requiredKeys",
  PTYInfo: "enabled winszRows winszCols envTerm envColorterm",
  TaskExecStartRequest: `taskId execId commandArgs stdoutConfig stderrConfig timeoutSecs workdir secretIds ptyInfo env secretSources`,
};
/** Fields that ask for nothing that could be missed on one machine. */
const indifferent: Record<string, string> = {
  // What a scheduler keeps free; the limits are the Max fields.
  Resources: "milliCpu",
  // The SDK's own mark of a format.
  Image: "version",
  ImageGetOrCreateRequest: "builderVersion",
  // Owners of ephemeral objects, which live as long as the engine.
  VolumeGetOrCreateRequest: "appId",
  SecretGetOrCreateRequest: "appId",
  // Every write is on the volume at once.
  VolumeMount: "allowBackgroundCommits",
  // What kind of program the terminal is for, and an idle rule of Modal's functions.
  PTYInfo: "ptyType noTerminateOnIdleStdin",
  TaskExecStartRequest: "runtimeDebug",
};

const camel = (name: string) => name.replace(/_([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase());
const protos = ["modal-client", "task-command-router"]
  .map((name) => readFileSync(new URL(`../proto/${name}.proto`, import.meta.url), "utf8"))
  .join("\n");

function fieldsOf(message: string): { name: string; type: string }[] {
  const start = protos.indexOf(`\nmessage ${message} {`);
  const body = protos.slice(start, protos.indexOf("\n}", start));
  const fields = body.matchAll(/^\s+((?:optional |repeated )?(?:map<[^>]+>|[\w.]+)) (\w+) = \d+;$/gm);
  return [...fields]
    .map(([, type = "", name = ""]) => ({ type, name: camel(name) }))
    .filter(({ name }) => !/^PTY_TYPE/.test(name) && !name.startsWith("PTYTYPE"));
}

/** A value of that type that is not its default, as the codecs hand it over. */
function sample(type: string): unknown {
  if (type.startsWith("repeated")) return [sample(type.slice(9))];
  if (type.startsWith("map<")) return { someOption: "1" };
  if (type.endsWith("bytes")) return Buffer.from("x");
  if (type.endsWith("bool")) return true;
  if (/u?int(32|64)$/.test(type)) return 7;
  if (type.endsWith("string")) return "something";
  return { count: 1, enabled: true, headerReplacements: [{}], bucketName: "b" };
}

const names = (text: string | undefined) => (text ?? "").split(/\s+/).filter(Boolean);

describe("every field of a request that makes something", () => {
  it.each(Object.keys(honoured))("of %s is done, refused by name, or asks for nothing", (message) => {
    const fields = fieldsOf(message).map(({ name }) => name);
    expect(fields.length).toBeGreaterThan(2);
    const refused = Object.keys((notDone as Record<string, Record<string, string>>)[message] ?? {});
    const known = [...names(honoured[message]), ...names(indifferent[message]), ...refused];
    expect([...known].sort()).toEqual([...fields].sort());
  });

  it.each(Object.keys(notDone) as (keyof typeof notDone)[])("of %s that is refused is told by its name", (message) => {
    const fields = fieldsOf(message);
    for (const [field, what] of Object.entries(notDone[message])) {
      const type = fields.find(({ name }) => name === field)?.type ?? "";
      expect(type, field).not.toBe("");
      expect(() => refuseNotDone(message, { [field]: sample(type) }), field).toThrow(what);
    }
  });

  it("may stand at its default", () => {
    const values = [undefined, null, "", 0, false, [], {}, Buffer.alloc(0), { count: 0, gpuType: "" }];
    for (const message of Object.keys(notDone) as (keyof typeof notDone)[]) {
      for (const field of Object.keys(notDone[message])) {
        for (const value of values) expect(() => refuseNotDone(message, { [field]: value })).not.toThrow();
      }
    }
  });

  it("names the experimental options that were asked for", () => {
    const options = { enable_docker: "true", other: "1" };
    expect(() => refuseNotDone("Sandbox", { experimentalOptionsV2: options })).toThrow(
      "An experimental option (enable_docker, other) is not supported by this engine",
    );
  });
});
