import { createHash } from "node:crypto";
import type { MachineSettings } from "../config/environment.ts";
import type { RegistryEntry } from "../config/options.ts";
import { type Base, ensureBase } from "./base.ts";
import { buildSettings } from "./build-settings.ts";
import { type Instruction, parseDockerfile, substitute } from "./dockerfile.ts";
import type { LayerStore } from "./layer-store.ts";
import { resolveTag, unknownTag } from "./registry.ts";
import { runStep, type Step, type StepContext } from "./step.ts";
import { asUser, resolveUser } from "./users.ts";

/** What an image is once it is built. */
export interface BuiltImage {
  /** Directories, the topmost first. */
  layers: string[];
  env: Record<string, string>;
  workdir?: string;
  user?: string;
  shell?: string[];
  entrypoint?: string[];
}

export interface BuildRequest {
  commands: string[];
  /** Images that FROM may name. */
  bases: Record<string, BuiltImage>;
  buildArgs: Record<string, string>;
  /** Environment of the RUN steps of this request only. */
  secretEnv: Record<string, string>;
  /** Stands for `secretEnv` in layer keys. */
  secretsFingerprint: string;
  /** Set: steps are run anew, their layers carry this in their key. */
  forceNonce?: string;
}

export interface BuildContext extends StepContext {
  layers: LayerStore;
  machine: MachineSettings;
  hostEnv: NodeJS.ProcessEnv;
  registry: Record<string, RegistryEntry>;
}

/** A build that failed for a reason of its own; the text is what the client sees. */
export class BuildError extends Error {
  override name = "BuildError";
}

interface Progress extends BuiltImage {
  args: Record<string, string>;
}

/** Builds one layer request from FROM to the last instruction. Cached steps are not run again. */
export async function buildImage(request: BuildRequest, context: BuildContext): Promise<BuiltImage> {
  const instructions = parse(request.commands);
  const args: Record<string, string> = {};
  const first = instructions.findIndex((instruction) => instruction.kind === "from");
  for (const instruction of instructions.slice(0, Math.max(first, 0))) {
    if (instruction.kind === "arg") takeArg(args, instruction, request);
    else throw new BuildError(`line ${instruction.line}: only ARG may stand before FROM: ${instruction.text}`);
  }
  const from = instructions[first];
  if (from?.kind !== "from") throw new BuildError("the Dockerfile has no FROM");
  const steps = instructions.slice(first + 1);
  let progress: Progress = { ...(await startFrom(substitute(from.image, args), request, context)), args: {} };
  for (const [index, instruction] of steps.entries()) {
    context.onLine(`Step ${index + 1}/${steps.length} : ${instruction.text.slice(0, 500)}`);
    progress = await apply(instruction, progress, { request, context });
  }
  const { args: _, ...built } = progress;
  return built;
}

function parse(commands: string[]): Instruction[] {
  try {
    return parseDockerfile(commands);
  } catch (error) {
    if (error instanceof Error && error.name === "DockerfileError") throw new BuildError(error.message);
    throw error;
  }
}

async function startFrom(image: string, request: BuildRequest, context: BuildContext): Promise<BuiltImage> {
  const known = request.bases[image];
  if (known) return known;
  const entry = resolveTag(image, context.registry);
  if (!entry) throw new BuildError(unknownTag(image, context.registry));
  const base: Base =
    "directory" in entry
      ? { layers: [entry.directory], env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" } }
      : await ensureBase(entry.base, context);
  return { layers: base.layers, env: base.env };
}

function takeArg(
  args: Record<string, string>,
  instruction: Extract<Instruction, { kind: "arg" }>,
  request: BuildRequest,
): void {
  const value = request.buildArgs[instruction.name] ?? instruction.fallback;
  if (value !== undefined) args[instruction.name] = substitute(value, args);
}

interface Work {
  request: BuildRequest;
  context: BuildContext;
}

async function apply(instruction: Instruction, before: Progress, work: Work): Promise<Progress> {
  const values = { ...before.args, ...before.env };
  const shell = before.shell ?? ["/bin/sh", "-c"];
  switch (instruction.kind) {
    case "from":
      throw new BuildError(
        `line ${instruction.line}: several FROM (multi-stage builds) are not supported by this engine`,
      );
    case "env": {
      const env = { ...before.env };
      for (const [name, value] of instruction.pairs) env[name] = substitute(value, values);
      return { ...before, env };
    }
    case "arg": {
      const args = { ...before.args };
      takeArg(args, instruction, work.request);
      return { ...before, args };
    }
    case "user":
      return { ...before, user: substitute(instruction.user, values) };
    case "shell":
      return { ...before, shell: instruction.args };
    case "cmd":
      // A sandbox runs the command it is given, else sleeps: CMD has no say.
      return before;
    case "entrypoint": {
      const entrypoint = instruction.form === "exec" ? instruction.args : [...shell, instruction.script];
      return { ...before, entrypoint };
    }
    case "workdir": {
      const wanted = substitute(instruction.path, values);
      const workdir = wanted.startsWith("/") ? wanted : `${before.workdir ?? ""}/${wanted}`;
      const layers = await layer(instruction, ["mkdir", "-p", "--", workdir], { ...before, user: "root" }, work);
      return { ...before, workdir, layers };
    }
    case "run": {
      const args = instruction.form === "exec" ? instruction.args : [...shell, instruction.script];
      return { ...before, layers: await layer(instruction, args, before, work) };
    }
    case "ignored":
      work.context.onLine(`${instruction.name} is ignored`);
      return before;
  }
}

/** Runs a command as a layer on top of `image`, or takes that layer from the cache; returns the new list of layers. */
async function layer(instruction: Instruction, args: string[], image: Progress, work: Work): Promise<string[]> {
  const { request, context } = work;
  const settings = buildSettings(context.machine);
  const user = resolveUser(image.layers, image.user ?? "root");
  if (!user) throw new BuildError(`line ${instruction.line}: the image has no user '${image.user ?? "root"}'`);
  const parents = image.layers.map((path) => context.layers.nameOf(path));
  const inputs = [parents, args, image.env, image.args, image.user ?? "root", image.workdir ?? "/"];
  const hash = createHash("sha256")
    .update(JSON.stringify([...inputs, request.secretsFingerprint, request.forceNonce ?? ""]))
    .digest("hex");
  const key = `step-${hash.slice(0, 40)}`;
  if (context.layers.has(key)) {
    context.onLine(" ---> cached");
    return [context.layers.path(key), ...image.layers];
  }
  const step: Step = {
    args: asUser(user, args),
    env: { HOME: user.home, ...settings.env, ...image.env, ...image.args, ...request.secretEnv },
    cwd: instruction.kind === "workdir" ? "/" : (image.workdir ?? "/"),
    files: settings.files,
    layers: image.layers,
  };
  const startedMs = Date.now();
  const tail: string[] = [];
  const onLine = (line: string) => {
    tail.push(line);
    if (tail.length > 30) tail.shift();
    context.onLine(line);
  };
  const path = await context.layers.ensure(
    key,
    async (directory, signal) => {
      const code = await runStep(step, directory, { ...context, onLine, signal });
      if (code !== 0) throw stepFailed(instruction, code, tail);
    },
    context.signal,
  );
  context.onLine(` ---> done in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`);
  return [path, ...image.layers];
}

function stepFailed(instruction: Instruction, code: number, tail: string[]): BuildError {
  const output = tail.length > 0 ? `its last output:\n${tail.join("\n")}` : "it printed nothing.";
  return new BuildError(`step '${instruction.text.slice(0, 500)}' failed with exit code ${code}; ${output}`);
}
