import { createHoldfast, type Holdfast } from "@holdfast/sdk";
import { CliError, type CommandContext, type ParsedInput, textOption } from "../command.ts";
import { readLogin } from "../config/login-file.ts";

/** A server, and who we are to it. */
export interface Connection {
  url: string;
  apiKey: string;
  /** Adds what the server wants to know beyond the key; a browser's login for a run of one's own. */
  fetch: typeof globalThis.fetch;
  holdfast: Holdfast;
}

/** The server by flag, environment, or login. Undefined when nothing names one. Throws CliError. */
export function findConnection(input: ParsedInput, { env }: CommandContext): Connection | undefined {
  const login = readLogin(env.configFile);
  const url = textOption(input, "server") ?? env.serverUrl ?? login?.url;
  if (url === undefined) return undefined;
  // A key is for one server: never sent to another one that a flag names.
  const apiKey = env.apiKey ?? (login !== undefined && sameServer(login.url, url) ? login.apiKey : undefined);
  if (apiKey === undefined)
    throw new CliError(
      `There is no key for ${url}`,
      login === undefined ? "You are not logged in anywhere." : `You are logged in to ${login.url} only.`,
      `Log in with \`holdfast login ${url} --key -\`, or set HOLDFAST_API_KEY.`,
    );
  return connect(url, apiKey);
}

/** As `findConnection`; throws CliError when nothing names a server. */
export function connection(input: ParsedInput, context: CommandContext): Connection {
  const found = findConnection(input, context);
  if (found !== undefined) return found;
  throw new CliError(
    "No server is known",
    "Neither --server nor HOLDFAST_URL is given, and you have not logged in.",
    "Start one with `holdfast up` and log in with the link that it prints: `holdfast login 'LINK'`.",
  );
}

export function connect(url: string, apiKey: string): Connection {
  const base = originOf(url);
  return { url: base, apiKey, fetch: globalThis.fetch, holdfast: createHoldfast({ baseUrl: base, apiKey }) };
}

/** A connection by a browser's login instead of a key. Throws CliError when the token is refused. */
export async function connectByToken(loginUrl: string, signal: AbortSignal): Promise<Connection> {
  const url = originOf(loginUrl);
  const token = new URL(loginUrl).searchParams.get("token") ?? "";
  let answer: Response;
  try {
    answer = await fetch(`${url}/v1/login`, {
      method: "POST",
      headers: { "content-type": "application/json", origin: url },
      body: JSON.stringify({ token }),
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new CliError(
      `${url} does not answer`,
      "Nothing listens there, or it cannot be reached from here.",
      "Start it with `holdfast up`, and use the link that it prints.",
      { cause: error },
    );
  }
  const cookie = answer.headers.get("set-cookie")?.split(";")[0];
  await answer.body?.cancel();
  if (!answer.ok || cookie === undefined)
    throw new CliError(
      "The link is not accepted",
      answer.status === 401
        ? "It was used before, is older than a quarter of an hour, or belongs to another installation."
        : `${url} answered ${answer.status}.`,
      "Have another one printed by `holdfast login-url`, or use `holdfast login --data-dir DIR` as root.",
    );
  const withCookie: typeof globalThis.fetch = (target, init = {}) => {
    const headers = new Headers(init.headers);
    headers.delete("x-api-key");
    headers.delete("authorization");
    headers.set("cookie", cookie);
    headers.set("origin", url);
    return fetch(target, { ...init, headers });
  };
  return { url, apiKey: "by-login", fetch: withCookie, holdfast: createHoldfast({ baseUrl: url, fetch: withCookie }) };
}

/** Ends a login that was only needed for a moment. */
export async function logOut({ url, fetch: withLogin }: Connection, signal: AbortSignal): Promise<void> {
  const answer = await withLogin(`${url}/v1/logout`, { method: "POST", signal });
  await answer.body?.cancel();
}

const originOf = (url: string) => {
  const { origin, pathname } = new URL(url);
  // A server behind a path of a proxy keeps it; the login link's own path is not one.
  return origin + pathname.replace(/\/login\/?$/, "").replace(/\/+$/, "");
};

const sameServer = (a: string, b: string) => originOf(a) === originOf(b);
