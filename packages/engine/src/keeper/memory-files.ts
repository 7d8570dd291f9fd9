/** `memory.oom_control` of v1, `memory.events` of v2: whether the kernel killed a process for memory. */
export function showsOomKill(text: string): boolean {
  return (field(text, "oom_kill") ?? 0) > 0;
}

/**
 * `memory.stat`: memory that nothing but an end gives back, anonymous pages without the page cache. On v1 that of the
 * groups below as well, which v2 counts in anyway.
 */
export function anonymousBytes(stat: string): number {
  return field(stat, "total_rss") ?? field(stat, "anon") ?? 0;
}

/** The files are lines of a name, a space and a number. */
function field(text: string, name: string): number | undefined {
  for (const line of text.split("\n")) {
    const [key, value = "", more] = line.split(" ");
    if (key === name && more === undefined && /^\d+$/.test(value)) return Number(value);
  }
  return undefined;
}
