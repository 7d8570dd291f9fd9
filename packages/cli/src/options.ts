import type { OptionSpec } from "./command.ts";

export const defaultDataDir = "/var/lib/holdfast";
export const defaultUrl = "http://127.0.0.1:4600";

export const dataDir: OptionSpec = {
  value: "DIR",
  help: `the data directory of \`holdfast up\` (default ${defaultDataDir}, or HOLDFAST_DATA_DIR)`,
};

export const output: OptionSpec = {
  value: "FORMAT",
  short: "o",
  choices: ["text", "json"],
  help: "text (default) or json: one object a line on stdout",
};

export const server: OptionSpec = {
  value: "URL",
  help: `the server (default HOLDFAST_URL, then what \`holdfast login\` stored)`,
  check: (value) => (isHttpUrl(value) ? undefined : `takes an address such as ${defaultUrl}`),
};

export const yes: OptionSpec = { short: "y", help: "do not ask" };

export const timeout: OptionSpec = {
  value: "SECONDS",
  help: "end it after so many seconds",
  check: wholeNumber(1, 86_400),
};

export function wholeNumber(min: number, max: number) {
  return (value: string) => {
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
    return number >= min && number <= max ? undefined : `takes a number from ${min} to ${max}`;
  };
}

export function isHttpUrl(value: string): boolean {
  const url = URL.parse(value);
  return url !== null && (url.protocol === "http:" || url.protocol === "https:");
}
