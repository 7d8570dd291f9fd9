import { realpathSync } from "node:fs";
import { parseArgs } from "node:util";
import { ownEnvironment } from "./config/environment.ts";
import { runDaemon } from "./daemon/daemon.ts";
import { exitCodes, Failure, messageOf, usageFailure } from "./failure.ts";
import { fenceSession } from "./fence.ts";
import { lookAtMemory, replaceMemory } from "./memory/memory.ts";
import { prepareHome } from "./permissions/home.ts";
import { fixPermissions } from "./permissions/permissions.ts";
import { defaultVolumeRoot } from "./permissions/volume.ts";
import { defaultRunDir, isSafeName } from "./run-paths.ts";
import { startProcess } from "./start.ts";
import { openTerminal } from "./terminals/open.ts";

const help = `The guest: holds Claude's processes inside a sandbox. Run it as root.

  guest.mjs daemon [--run-dir DIR] [--spool-limit BYTES]
      Serves processes on DIR/guest.sock until SIGTERM. One per DIR. A process with more uncommitted output than the
      limit (256 MiB) waits until some is committed.

  guest.mjs start --session ID --process ID --generation N [--cwd DIR] [--run-dir DIR] -- COMMAND…
      Starts COMMAND with this environment under the daemon, and the daemon if need be.
      Prints {"pid":N}. The same --process again prints the process that there is.

  guest.mjs terminal --terminal ID --rows N --cols N [--cwd DIR] [--run-dir DIR] [-- COMMAND…]
      Has the daemon make a terminal with a shell in it, started by COMMAND (runuser, env) with this environment. The
      same --terminal again is the terminal that there is. Prints what it is, as JSON.

  guest.mjs fence --session ID --generation N [--end ID]… [--run-dir DIR]
      From now on lower generations of this session are refused. Then kills every process that an earlier one
      started with HOLDFAST_PROCESS=ID in its environment. Prints {"ended":N}.

  guest.mjs permissions --uid N --gid N [--session ID --generation N] [--full] [--home PATH] [--volume-root DIR]
                        [--run-dir DIR] PATH…
      Makes the volume behind each PATH the property of N:N, after fencing the session. Prints one JSON line per PATH.
      Then sees that the volume behind PATH of --home has a directory home, and prints one more line.
      Exit code 64 wrong usage, 65 refused, 66 not found, 70 failed (a JSON line on stderr).

  guest.mjs memory look --config DIR --cwd DIR --conversation ID [--has ID]…
      Prints what Claude Code has of a conversation, of which it must have the rows --has: {"state":"whole"}, or missing,
      empty, damaged, unreadable, not_a_file. Puts in order what would keep Claude Code from starting. As Claude's user.

  guest.mjs memory replace --config DIR --cwd DIR --conversation ID
      Puts standard input in its place. Prints {"bytes":N}.

Everything with --generation ends with exit code 77 when a higher one of this session has been here; the JSON line on
stderr then names that one as "generation".

DIR of --run-dir is ${defaultRunDir} by default, of --volume-root ${defaultVolumeRoot}.
`;

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function printError(value: unknown): void {
  process.stderr.write(`${JSON.stringify(value)}\n`);
}

type Values = Record<string, string | boolean | (string | boolean)[] | undefined>;

function parse(args: readonly string[], names: readonly string[], more: { flags?: string[]; lists?: string[] } = {}) {
  const options = Object.fromEntries([
    ...[...names, "run-dir"].map((name) => [name, { type: "string" as const }]),
    ...(more.flags ?? []).map((name) => [name, { type: "boolean" as const }]),
    ...(more.lists ?? []).map((name) => [name, { type: "string" as const, multiple: true }]),
  ]);
  try {
    const parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    return { values: parsed.values as Values, positionals: parsed.positionals };
  } catch (error) {
    throw usageFailure(messageOf(error));
  }
}

function text(values: Values, name: string, fallback?: string): string {
  const value = values[name] ?? fallback;
  if (typeof value !== "string" || value === "") throw usageFailure(`--${name} is missing`);
  return value;
}

function count(values: Values, name: string): number {
  const value = text(values, name);
  if (!/^\d{1,15}$/.test(value)) throw usageFailure(`--${name} must be a number, not ${JSON.stringify(value)}`);
  return Number(value);
}

function id(values: Values, name: string): string {
  const value = text(values, name);
  if (!isSafeName(value)) throw usageFailure(`--${name} must be letters, digits, - and _: ${JSON.stringify(value)}`);
  return value;
}

async function daemon(args: readonly string[]): Promise<void> {
  const { values } = parse(args, ["spool-limit"]);
  const limit = values["spool-limit"] === undefined ? {} : { spoolLimitBytes: count(values, "spool-limit") };
  await runDaemon({
    ...limit,
    runDir: text(values, "run-dir", defaultRunDir),
    log: (message, fields) => printError({ time: new Date().toISOString(), message, ...fields }),
  });
}

async function start(args: readonly string[]): Promise<void> {
  const end = args.indexOf("--");
  if (end === -1) throw usageFailure("the command is missing: put it after --");
  const { values, positionals } = parse(args.slice(0, end), ["session", "process", "generation", "cwd"]);
  const argv = args.slice(end + 1);
  if (argv.length === 0 || positionals.length > 0) throw usageFailure("the command is missing: put it after --");
  const started = await startProcess({
    ...lease(values),
    processId: id(values, "process"),
    cwd: text(values, "cwd", process.cwd()),
    argv,
    env: ownEnvironment(),
  });
  print(started);
}

async function terminal(args: readonly string[]): Promise<void> {
  const end = args.indexOf("--") === -1 ? args.length : args.indexOf("--");
  const { values, positionals } = parse(args.slice(0, end), ["terminal", "rows", "cols", "cwd"]);
  if (positionals.length > 0) throw usageFailure(`unknown argument ${JSON.stringify(positionals[0])}`);
  const opened = await openTerminal({
    runDir: text(values, "run-dir", defaultRunDir),
    script: realpathSync(process.argv[1] ?? ""),
    terminalId: id(values, "terminal"),
    rows: count(values, "rows"),
    cols: count(values, "cols"),
    cwd: text(values, "cwd", process.cwd()),
    argv: args.slice(end + 1),
    env: ownEnvironment(),
  });
  print(opened);
}

async function fence(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(args, ["session", "generation"], { lists: ["end"] });
  if (positionals.length > 0) throw usageFailure(`unknown argument ${JSON.stringify(positionals[0])}`);
  const end = Array.isArray(values.end) ? values.end.map(String) : [];
  for (const each of end) if (!isSafeName(each)) throw usageFailure(`--end must be letters, digits, - and _`);
  print(await fenceSession({ ...lease(values), end }));
}

/** Who asks, and for which session. */
function lease(values: Values) {
  return {
    runDir: text(values, "run-dir", defaultRunDir),
    sessionId: id(values, "session"),
    generation: count(values, "generation"),
    script: realpathSync(process.argv[1] ?? ""),
  };
}

async function permissions(args: readonly string[]): Promise<void> {
  const names = ["uid", "gid", "volume-root", "session", "generation", "home"];
  const { values, positionals } = parse(args, names, { flags: ["full"] });
  if (positionals.length === 0) throw usageFailure("name at least one path");
  if (values.session !== undefined) await fenceSession({ ...lease(values), end: [] });
  const own = {
    uid: count(values, "uid"),
    gid: count(values, "gid"),
    volumeRoot: text(values, "volume-root", defaultVolumeRoot),
  };
  for (const path of positionals) {
    print(
      fixPermissions(path, {
        ...own,
        runDir: text(values, "run-dir", defaultRunDir),
        full: values.full === true,
        onProgress: (progress) => printError({ progress }),
      }),
    );
  }
  if (values.home !== undefined) print(prepareHome(text(values, "home"), own));
}

function memory(args: readonly string[]): void {
  const { values, positionals } = parse(args, ["config", "cwd", "conversation"], { lists: ["has"] });
  const place = {
    config: text(values, "config"),
    cwd: text(values, "cwd"),
    conversation: id(values, "conversation"),
  };
  const has = Array.isArray(values.has) ? values.has.map(String) : [];
  if (positionals.join() === "look") print(lookAtMemory(place, has));
  else if (positionals.join() === "replace") print(replaceMemory(place, 0));
  else throw usageFailure("say `look` or `replace`");
}

async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args;
  try {
    if (command === "--help" || command === "help" || rest[0] === "--help") process.stdout.write(help);
    else if (command === "daemon") await daemon(rest);
    else if (command === "start") await start(rest);
    else if (command === "terminal") await terminal(rest);
    else if (command === "fence") await fence(rest);
    else if (command === "permissions") await permissions(rest);
    else if (command === "memory") memory(rest);
    else throw usageFailure(command === undefined ? "no command" : `unknown command ${JSON.stringify(command)}`);
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof Failure) {
      printError({ code: error.code, message: error.message, remedy: error.remedy, ...error.facts });
      return error.exitCode;
    }
    const remedy = "Try again; if it fails again, start a new sandbox.";
    printError({ code: "unexpected", message: messageOf(error), remedy });
    return command === "permissions" ? exitCodes.software : exitCodes.failed;
  }
}

process.exit(await main(process.argv.slice(2)));
