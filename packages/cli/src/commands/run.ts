import { inBackground } from "@holdfast/std";
import { confirm } from "../client/confirm.ts";
import { type Connection, connectByToken, findConnection } from "../client/connection.ts";
import { promptFrom, titleOf } from "../client/prompt.ts";
import { Prompter } from "../client/prompter.ts";
import { isStillToCome, waitsIn } from "../client/queue.ts";
import { Sessions } from "../client/sessions.ts";
import { createViewer, followTurn, type TurnEnd } from "../client/turn.ts";
import { CliError, type CommandContext, type Handler, type ParsedInput, textOption } from "../command.ts";
import { inWords } from "../failure.ts";
import { defaultDataDir } from "../options.ts";

/** How long a stopped turn may take to end before we leave it to the server. */
const interruptMs = 15_000;

export const runPrompt: Handler = async (input, context) => {
  const prompt = await promptFrom(input.args[0] ?? "", context);
  const found = findConnection(input, context);
  if (found !== undefined) return await runOn(found, { prompt, input, context });
  await using system = await startForOneRun(input, context);
  return await runOn(system.connection, { prompt, input, context });
};

async function runOn(
  connection: Connection,
  { prompt, input, context }: { prompt: string; input: ParsedInput; context: CommandContext },
): Promise<number> {
  const { out, signal } = context;
  const sessions = new Sessions(connection);
  if (!(await isWorkspaceMeant(connection, input, context))) {
    out.progress("Nothing was begun.");
    return 1;
  }
  const sessionId = await sessionFor(sessions, { prompt, input, signal });
  out.progress(`Session ${sessionId}`);
  // Not cut off by Ctrl-C: whether the message arrived must be known to stop what it begins.
  const sent = await sessions.send(sessionId, prompt);
  if (sent === undefined) throw new Error("the server did not say which message it took");
  out.data({ type: "holdfast.run", session_id: sessionId, message_id: sent.id });
  using viewer = createViewer(context, { quiet: input.options.quiet === true, echo: false });
  const failed = (error: unknown) => {
    inBackground(
      inWords(error).then(({ message, why }) => viewer.note(`${message}. ${why}`)),
      () => viewer.note(String(error)),
    );
  };
  const asks = out.live && context.stdin.isTTY === true;
  using prompter = asks ? new Prompter({ sessions, sessionId, context, note: viewer.note, failed }) : undefined;
  const { holdfast } = connection;
  // In a session of its own nothing is in its way.
  const shared = textOption(input, "session") !== undefined;
  const waits = shared && waitsIn(await holdfast.messages.list(sessionId), sent.id);
  if (waits) viewer.note(`A turn is running: this waits for its end (holdfast queue ${sessionId})`);
  // Ctrl-C must not end the following: the turn's end is still to be shown.
  const leave = new AbortController();
  const isToCome = (seq: number) =>
    isStillToCome({ holdfast, sessions }, { sessionId, messageId: sent.id, seq, signal: leave.signal });
  const following = { sessionId, message: sent, waits, isStillToCome: isToCome, viewer, prompter };
  const interrupted = { done: false };
  const onAbort = () => {
    interrupted.done = true;
    viewer.note("Stopping the turn");
    setTimeout(() => leave.abort(context.signal.reason), interruptMs).unref();
    const stop = { messageId: sent.id, signal: AbortSignal.timeout(interruptMs) };
    sessions.interrupt(sessionId, stop).catch((error: unknown) => leave.abort(error));
  };
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const end = await followTurn(sessions, { ...following, signal: leave.signal });
    if (interrupted.done) return 130;
    return exitCodeOf(end, sessionId, context);
  } catch (error) {
    if (!interrupted.done) throw error;
    out.error("It is not known whether the turn has stopped", String(error), `Look at it: holdfast logs ${sessionId}`);
    return 130;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function exitCodeOf(end: TurnEnd, sessionId: string, { out }: CommandContext): number {
  if (end.type === "session.status_terminated") return 1;
  if (end.type === "holdfast.message") {
    out.error(
      "The message was removed before Claude got it",
      "Somebody took it out of the queue.",
      `What happened: holdfast logs ${sessionId} -n 20`,
    );
    return 1;
  }
  if (end.stop_reason.type === "requires_action") {
    out.error(
      "Claude asks something, and nobody has answered",
      "The turn waits.",
      `Answer it with \`holdfast attach ${sessionId}\` or \`holdfast answer ${sessionId} y\`, or stop it with \`holdfast stop ${sessionId}\`.`,
    );
    return 1;
  }
  if (end.stop_reason.type === "retries_exhausted") return 1;
  return (end.holdfast?.outcome ?? "completed") === "completed" ? 0 : 1;
}

/** A name that is new may be a slip: whoever sits at a terminal is asked. */
async function isWorkspaceMeant(
  { holdfast }: Connection,
  input: ParsedInput,
  context: CommandContext,
): Promise<boolean> {
  const name = textOption(input, "workspace");
  const { stdin, out, signal } = context;
  if (name === undefined || input.options.create === true || stdin.isTTY !== true || out.json) return true;
  for await (const each of holdfast.workspaces.list({ signal })) if (each.name === name) return true;
  return await confirm(`There is no workspace ${JSON.stringify(name)} yet. Make it?`, input, context);
}

async function sessionFor(
  sessions: Sessions,
  { prompt, input, signal }: { prompt: string; input: ParsedInput; signal: AbortSignal },
): Promise<string> {
  const given = textOption(input, "session");
  if (given !== undefined) return await sessions.resolve(given, signal);
  const title = textOption(input, "title") ?? titleOf(prompt);
  return (await sessions.create({ title, workspace: textOption(input, "workspace"), signal })).id;
}

interface OwnSystem extends AsyncDisposable {
  connection: Connection;
}

/** Everything of one installation, for the length of one run. Throws CliError. */
async function startForOneRun(input: ParsedInput, { env, out, signal }: CommandContext): Promise<OwnSystem> {
  if (process.getuid?.() !== 0)
    throw new CliError(
      "No server is known",
      "Neither --server nor HOLDFAST_URL is given, you have not logged in, and only root can start one here.",
      "Log in with `holdfast login`, or run this with sudo.",
    );
  const dataDir = textOption(input, "data-dir") ?? env.dataDir ?? defaultDataDir;
  const { startSystem } = await import("../up/system.ts");
  out.progress(`No server is known: starting one on ${dataDir} for this run`);
  const system = await startSystem({
    dataDir,
    port: 0,
    signal,
    onProgress: (text) => out.progress(text),
    ...(env.imageCacheDir === undefined ? {} : { imageCacheDir: env.imageCacheDir }),
    ...(env.databaseUrl === undefined ? {} : { databaseUrl: env.databaseUrl }),
    ...(env.anthropicApiKey === undefined ? {} : { anthropicApiKey: env.anthropicApiKey }),
  });
  const stop = async () => {
    out.progress("Ending what was started for this run");
    await system.stop({ endTurns: true });
  };
  try {
    return { connection: await connectByToken(system.loginUrl, signal), [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
