import { hostname } from "node:os";
import { loginLinkLifetimeMs } from "@holdfast/std";
import { type Connection, connect, connectByToken, connection, logOut } from "../client/connection.ts";
import { readSecret } from "../client/hidden-input.ts";
import { CliError, type CommandContext, type Handler, type ParsedInput, textOption, UsageError } from "../command.ts";
import { writeLogin } from "../config/login-file.ts";
import { runningOn } from "../local/running.ts";
import { defaultDataDir, isHttpUrl } from "../options.ts";

export const login: Handler = async (input, context) => {
  if (input.options["anthropic-key"] === true) {
    await storeAnthropicKey(input, context);
    return;
  }
  const { out, env, signal } = context;
  const { url, apiKey } = await keyFor(input, context);
  const { account, model } = await connect(url, apiKey).holdfast.status({ signal });
  writeLogin(env.configFile, { url, apiKey });
  out.data({ url, account, config_file: env.configFile });
  out.line(`Logged in to ${url} as ${account.name}.`);
  if (model.mode === "scripted")
    out.progress("A scripted model answers there, not Claude. Store a key with: holdfast login --anthropic-key");
  if (env.serverUrl !== undefined || env.apiKey !== undefined)
    out.progress("HOLDFAST_URL and HOLDFAST_API_KEY are set in your environment and come first.");
};

async function keyFor(input: ParsedInput, context: CommandContext): Promise<{ url: string; apiKey: string }> {
  const dataDir = textOption(input, "data-dir");
  if (dataDir !== undefined) return await byDataDir(dataDir, input, context);
  const url = input.args[0] ?? textOption(input, "server") ?? context.env.serverUrl;
  if (url === undefined)
    throw new UsageError("no server is named", {
      todo: "Give a link that `holdfast login-url` prints: holdfast login 'http://127.0.0.1:4600/login?token=…'",
    });
  if (!isHttpUrl(url)) throw new UsageError(`${JSON.stringify(url)} is not an address of a server`);
  if (new URL(url).searchParams.has("token")) return await mint(await connectByToken(url, context.signal), context);
  const key = textOption(input, "key");
  const apiKey = key === undefined || key === "-" ? await readSecret("API key", context) : key;
  return { url: connect(url, apiKey).url, apiKey };
}

/** Whoever may read the data directory may administer what runs on it. */
async function byDataDir(dataDir: string, input: ParsedInput, context: CommandContext) {
  const url = textOption(input, "server") ?? input.args[0] ?? urlOf(dataDir);
  const { makeLoginUrl, readLoginSecret } = await import("../local/login-url.ts");
  return await mint(await connectByToken(makeLoginUrl(url, readLoginSecret(dataDir)), context.signal), context);
}

/** Prints a link that logs a browser in, once. */
export const loginUrl: Handler = async (input, { env, out }) => {
  const dataDir = textOption(input, "data-dir") ?? env.dataDir ?? defaultDataDir;
  const url = textOption(input, "server") ?? urlOf(dataDir);
  const { makeLoginUrl, readLoginSecret } = await import("../local/login-url.ts");
  const link = makeLoginUrl(url, readLoginSecret(dataDir));
  out.data({ url: link, expires_at: new Date(Date.now() + loginLinkLifetimeMs).toISOString() });
  out.line(link);
  out.progress("It logs a browser in once, within a quarter of an hour.");
};

/** Where the Holdfast of a data directory serves. Throws CliError. */
function urlOf(dataDir: string): string {
  const url = runningOn(dataDir)?.url;
  if (url !== undefined) return url;
  throw new CliError(
    `No Holdfast is known to run on ${dataDir}`,
    "Nothing holds its lock, it is not ready yet, or only root may see it.",
    `Start it: holdfast up --data-dir ${dataDir}. Then run this as the same user.`,
  );
}

async function mint(by: Connection, { signal }: CommandContext): Promise<{ url: string; apiKey: string }> {
  const key = await by.holdfast.apiKeys.create({ name: `holdfast CLI on ${hostname()}` }, { signal });
  await logOut(by, signal);
  return { url: by.url, apiKey: key.api_key };
}

async function storeAnthropicKey(input: ParsedInput, context: CommandContext): Promise<void> {
  const { out, signal } = context;
  const server = connection(input, context);
  const key = await readSecret("Anthropic API key (not shown)", context);
  const { model } = await server.holdfast.credential.set(key, { signal });
  out.data({ model });
  out.line(`${server.url} now uses the key that ends in ${model.credential.last4 ?? "?"}. It stays in its gateway.`);
}
