import { findConnection } from "../client/connection.ts";
import { CliError, type CommandContext, type Handler, type ParsedInput, textOption } from "../command.ts";
import { writeBundle } from "../doctor/bundle.ts";
import { dataDirPoints, portPoint } from "../doctor/local.ts";
import { machinePoints } from "../doctor/machine.ts";
import type { Point } from "../doctor/point.ts";
import { loginPoint, serverPoints } from "../doctor/server.ts";
import { runningOn } from "../local/running.ts";
import { defaultDataDir } from "../options.ts";
import { cleanText } from "../render/clean.ts";

export const doctor: Handler = async (input, context) => {
  const { out, env } = context;
  const dataDir = textOption(input, "data-dir") ?? env.dataDir ?? defaultDataDir;
  const points: Point[] = [];
  for await (const { title, found } of sections(input, context, dataDir)) {
    out.line(out.paint("bold", title));
    for (const point of found) {
      points.push(point);
      out.data({ section: title, ...point });
      print(point, context);
    }
  }
  const bundle = textOption(input, "bundle");
  if (bundle !== undefined) {
    writeBundle(bundle, { points, dataDir, env });
    out.progress(`Wrote ${bundle}. Look through it before you pass it on.`);
  }
  const problems = points.filter(({ verdict }) => verdict === "problem").length;
  out.line("");
  out.line(
    problems === 0
      ? out.paint("green", "No problems found.")
      : `${problems} ${problems === 1 ? "problem" : "problems"} found.`,
  );
  return problems === 0 ? 0 : 1;
};

async function* sections(
  input: ParsedInput,
  context: CommandContext,
  dataDir: string,
): AsyncGenerator<{ title: string; found: Point[] }, void, undefined> {
  const { env, signal } = context;
  const server = serverOf(input, context);
  const remote = server.connection !== undefined && !isLocal(server.connection.url);
  if (remote)
    yield {
      title: "This machine",
      found: [
        { name: "engine", verdict: "note", text: `not looked at: the server is elsewhere (${server.connection?.url})` },
      ],
    };
  else {
    yield { title: "This machine", found: await machinePoints(dataDir) };
    const running = runningOn(dataDir);
    yield { title: "Data directory", found: [...dataDirPoints(dataDir, running), ...(await portPoint(running))] };
  }
  yield {
    title: "Server",
    found: [
      loginPoint(env.configFile, env.serverUrl !== undefined && env.apiKey !== undefined),
      ...server.found,
      ...(await serverPoints(server.connection, signal)),
    ],
  };
}

function serverOf(input: ParsedInput, context: CommandContext) {
  try {
    return { connection: findConnection(input, context), found: [] };
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const found: Point[] = [
      { name: "key", verdict: "problem", text: `${error.message}. ${error.why}`, remedy: error.todo },
    ];
    return { connection: undefined, found };
  }
}

const isLocal = (url: string) => /^(127\.|localhost$|\[::1\]$)/.test(new URL(url).hostname);

function print(point: Point, { out }: CommandContext): void {
  const marks = {
    ok: out.paint("green", "ok     "),
    note: out.paint("yellow", "note   "),
    problem: out.paint("red", "PROBLEM"),
  };
  out.line(`  ${marks[point.verdict]}  ${cleanText(`${point.name}: ${point.text}`)}`);
  if (point.remedy !== undefined && point.remedy !== "") out.line(`           → ${cleanText(point.remedy)}`);
}
