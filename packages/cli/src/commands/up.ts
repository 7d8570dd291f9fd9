import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Status } from "@holdfast/protocol";
import { connectByToken, logOut } from "../client/connection.ts";
import { CliError, type Handler, textOption } from "../command.ts";
import { ConfigFileError, configFileName, type FileConfig, readConfigFile, withConfig } from "../config/file.ts";
import { addressFile, writeAddress } from "../local/running.ts";
import { defaultDataDir } from "../options.ts";
import { startSystem } from "../up/system.ts";

export const up: Handler = async (input, { env, out, signal }) => {
  const dataDir = textOption(input, "data-dir") ?? env.dataDir ?? defaultDataDir;
  const config = await configOf(dataDir);
  const system = await startSystem({
    dataDir,
    adjust: (name, options) => withConfig(config, name, options),
    port: Number(textOption(input, "port") ?? 4600),
    signal,
    onProgress: (text) => out.progress(text),
    ...(env.imageCacheDir === undefined ? {} : { imageCacheDir: env.imageCacheDir }),
    ...(env.databaseUrl === undefined ? {} : { databaseUrl: env.databaseUrl }),
    ...(env.anthropicApiKey === undefined ? {} : { anthropicApiKey: env.anthropicApiKey }),
  });
  writeAddress(dataDir, system.url);
  out.line("");
  out.line("Holdfast is ready. Open this in your browser; it logs you in, once, within a quarter of an hour:");
  out.line("");
  out.line(`  ${system.loginUrl}`);
  out.line("`holdfast login-url` prints another such link.");
  out.line("");
  const { model, storage } = await readStatus(system.loginUrl, signal);
  if (model.mode === "scripted")
    out.line("Scripted demo, not Claude: there is no Anthropic key. Set ANTHROPIC_API_KEY, or add one in the page.");
  else out.line("The model is Anthropic's; the key stays in the gateway.");
  if (storage.state === "on")
    out.line(
      `Workspaces are copied to S3 at ${String(system.services.s3.ready?.url)}; its keys are in ${join(dataDir, "secrets.json")}.`,
    );
  if (storage.state === "off") out.line(`Workspaces are not saved to S3: ${storage.reason ?? "no reason was given"}.`);
  out.line("Ctrl-C ends turns and sandboxes and leaves nothing running; SIGTERM leaves them to the next start.");
  if (!signal.aborted) await once(signal, "abort");
  const endTurns = signal.reason !== "SIGTERM";
  out.progress(
    endTurns ? "Ending turns and sandboxes" : "Stopping; turns and sandboxes go on, and wait for the next start",
  );
  rmSync(addressFile(dataDir), { force: true });
  await system.stop({ endTurns });
  out.progress(
    endTurns ? "Ended." : "Stopped; sandboxes are still running. Start again, or end them with Ctrl-C there.",
  );
};

async function configOf(dataDir: string): Promise<FileConfig> {
  try {
    return await readConfigFile(dataDir);
  } catch (error) {
    if (!(error instanceof ConfigFileError)) throw error;
    const why = error.problems.map((problem) => `\n    - ${problem}`).join("");
    throw new CliError(
      `${configFileName} in ${dataDir} is not valid`,
      why,
      "Correct it; docs/configuration.md lists what can be set.",
      { cause: error },
    );
  }
}

async function readStatus(loginUrl: string, signal: AbortSignal): Promise<Status> {
  const login = await connectByToken(loginUrl, signal);
  const status = await login.holdfast.status({ signal });
  await logOut(login, signal);
  return status;
}
