/** Lower case without the trailing dot; undefined when it is no host name (an address, an illegal character). */
export function normaliseHost(name: string): string | undefined {
  const host = name.toLowerCase().replace(/\.$/, "");
  if (host.length === 0 || host.length > 253) return undefined;
  if (!host.split(".").every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))) return undefined;
  if (/^[0-9.]+$/.test(host)) return undefined;
  return host;
}

/** `example.com` or `*.example.com` (any depth below, not example.com itself); undefined when malformed. */
export function normalisePattern(pattern: string): string | undefined {
  if (pattern === "*") return "*";
  if (!pattern.startsWith("*.")) return normaliseHost(pattern);
  const suffix = normaliseHost(pattern.slice(2));
  return suffix === undefined ? undefined : `*.${suffix}`;
}

/** A test for normalised host names. */
export function domainMatcher(patterns: string[]): (host: string) => boolean {
  const exact = new Set<string>();
  const suffixes: string[] = [];
  let all = false;
  for (const pattern of patterns) {
    const normal = normalisePattern(pattern);
    if (normal === "*") all = true;
    else if (normal?.startsWith("*.")) suffixes.push(normal.slice(1));
    else if (normal !== undefined) exact.add(normal);
  }
  return (host) => all || exact.has(host) || suffixes.some((suffix) => host.endsWith(suffix) && host !== suffix);
}
