import { once } from "node:events";
import { type Command, UsageError } from "../command.ts";
import { startSystem } from "../up/system.ts";

export const defaultDataDir = "/var/lib/holdfast";

export const up: Command = {
  name: "up",
  summary: "Serve Holdfast on this machine until Ctrl-C: page, API, engine, gateway and storage.",
  args: [],
  options: {
    port: { value: "N", help: "where the page and the API are served on 127.0.0.1 (default 4600)" },
    "data-dir": { value: "DIR", help: `where everything durable lies (default ${defaultDataDir})` },
  },
  async run(input, { env, out, signal }) {
    const port = readPort(input.options.port);
    const given = input.options["data-dir"];
    const dataDir = typeof given === "string" ? given : (env.dataDir ?? defaultDataDir);
    const system = await startSystem({
      dataDir,
      port,
      signal,
      onProgress: (text) => out.progress(text),
      ...(env.imageCacheDir === undefined ? {} : { imageCacheDir: env.imageCacheDir }),
      ...(env.anthropicApiKey === undefined ? {} : { anthropicApiKey: env.anthropicApiKey }),
    });
    out.line("");
    out.line("Holdfast is ready. Open this in your browser; it logs you in:");
    out.line("");
    out.line(`  ${system.loginUrl}`);
    out.line("");
    const { mode } = await modelMode(system.url, system.loginUrl);
    if (mode === "scripted")
      out.line("Scripted demo, not Claude: there is no Anthropic key. Set ANTHROPIC_API_KEY, or add one in the page.");
    else out.line("The model is Anthropic's; the key stays in the gateway.");
    out.line("Ctrl-C ends turns and sandboxes and leaves nothing running.");
    if (!signal.aborted) await once(signal, "abort");
    out.progress("Ending turns and sandboxes");
    await system.stop({ endTurns: signal.reason !== "SIGTERM" });
    out.progress("Ended.");
  },
};

function readPort(given: string | boolean | undefined): number {
  if (given === undefined) return 4600;
  const port = Number(given);
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new UsageError(`--port takes a number from 1 to 65535, got ${String(given)}`);
  return port;
}

async function modelMode(url: string, loginUrl: string): Promise<{ mode: string }> {
  const login = await fetch(loginUrl, { redirect: "manual" });
  const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
  const answer = await fetch(`${url}/v1/status`, { headers: { cookie } });
  const status = (await answer.json()) as { model?: { mode?: string } };
  return { mode: status.model?.mode ?? "unknown" };
}
