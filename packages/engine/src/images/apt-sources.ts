import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The machine's own Debian sources for `suite`, as one-line entries, so that a mirror that this machine uses is used by
 * its images too. Empty when the machine is no Debian of that suite: then mmdebstrap's default applies.
 */
export function machineSources(suite: string, etcApt = "/etc/apt"): string[] {
  const files = [join(etcApt, "sources.list")];
  const parts = join(etcApt, "sources.list.d");
  if (existsSync(parts))
    files.push(
      ...readdirSync(parts)
        .sort()
        .map((name) => join(parts, name)),
    );
  const entries: string[] = [];
  for (const file of files) {
    if (!existsSync(file)) continue;
    const text = readFileSync(file, "utf8");
    if (file.endsWith(".sources")) entries.push(...deb822(text, suite));
    else if (file.endsWith(".list")) entries.push(...oneLine(text, suite));
  }
  return entries.some((entry) => new RegExp(` ${suite} `).test(entry)) ? entries : [];
}

function isSuite(name: string, suite: string): boolean {
  return name === suite || name.startsWith(`${suite}-`) || name === `${suite}/updates`;
}

/** Only what Debian's own keys sign: other vendors' archives do not belong into a base image. */
function isDebian(uri: string): boolean {
  return /\/debian(-security)?\/?$/.test(uri) && /^https?:/.test(uri);
}

function oneLine(text: string, suite: string): string[] {
  const out: string[] = [];
  for (const line of text.split("\n")) {
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)$/.exec(line.trim());
    const [, , uri = "", name = "", components = ""] = match ?? [];
    if (match && isDebian(uri) && isSuite(name, suite)) out.push(`deb ${uri} ${name} ${components.trim()}`);
  }
  return out;
}

function deb822(text: string, suite: string): string[] {
  const out: string[] = [];
  for (const stanza of text.split(/\n\s*\n/)) {
    const field = (name: string) =>
      (new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t].*)*)`, "im").exec(stanza)?.[1] ?? "").split(/\s+/).filter(Boolean);
    if (!field("Types").includes("deb") || field("Enabled")[0] === "no") continue;
    for (const uri of field("URIs").filter(isDebian)) {
      for (const name of field("Suites").filter((candidate) => isSuite(candidate, suite))) {
        out.push(`deb ${uri} ${name} ${field("Components").join(" ")}`);
      }
    }
  }
  return out;
}
