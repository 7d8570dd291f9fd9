/**
 * Names by which a settings file of the workspace or of HOME would send the model's traffic elsewhere, give it another
 * credential, or have a foreign certificate taken: all of them win over the process's environment.
 */
const redirecting = [
  ...["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_UNIX_SOCKET", "CLAUDE_CODE_OAUTH_TOKEN"],
  ...["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
  ...["CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY", "CLAUDE_CODE_USE_MANTLE"],
  ...["CLAUDE_CODE_USE_ANTHROPIC_AWS", "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD", "CLAUDE_CODE_USE_GATEWAY"],
  ...["NODE_EXTRA_CA_CERTS", "CLAUDE_CODE_CLIENT_CERT", "CLAUDE_CODE_CLIENT_KEY"],
];

/** And those that would keep a turn from coming to its end; set to what the CLI does without them. */
const breaking: Record<string, string> = { API_TIMEOUT_MS: "600000", CLAUDE_CODE_SUBPROCESS_ENV_SCRUB: "" };

/** How long the CLI keeps transcripts, in days: for ever. Its own thirty would delete the account's conversations. */
const cleanupPeriodDays = 36_500;

export interface SettingsInput {
  /** Of the gateway. */
  readonly baseUrl: string;
  /** What the process's environment holds on purpose: these names are left to it. */
  readonly environment: Readonly<Record<string, string>>;
  /** What `claudeBehaviour` gave. */
  readonly behaviour: Readonly<Record<string, string>>;
}

/**
 * The first part of `--settings`, which win over every settings file that Claude can write. No secret: whoever lists the
 * processes reads them. `CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST` in the environment guards the key, and the rest once more.
 */
export function claudeSettings({ baseUrl, environment, behaviour }: SettingsInput): Record<string, unknown> {
  const env = {
    ...Object.fromEntries(redirecting.map((name) => [name, ""])),
    NODE_TLS_REJECT_UNAUTHORIZED: "1",
    ...breaking,
    ...behaviour,
  };
  const own = Object.keys(environment).map((name) => name.toUpperCase());
  const kept = Object.entries(env).filter(([name]) => !own.includes(name.toUpperCase()));
  return { cleanupPeriodDays, apiKeyHelper: "", env: { ...Object.fromEntries(kept), ANTHROPIC_BASE_URL: baseUrl } };
}
