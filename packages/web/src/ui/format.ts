/** `0.4 s`, `12.3 s`, `1m 12s`, `2h 5m`. */
export function formatDuration(ms: number): string {
  const s = Math.max(0, ms) / 1_000;
  if (s < 59.95) return `${s.toFixed(1)} s`;
  return formatElapsed(ms);
}

/** In whole seconds, for a time that is still running. */
export function formatElapsed(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1_000));
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)}m ${s % 60}s`;
  return `${Math.floor(s / 3_600)}h ${Math.floor((s % 3_600) / 60)}m`;
}

/** US dollars with four digits, as small turns cost fractions of a cent. */
export function formatCost(usd: number): string {
  return usd >= 10 ? `$${usd.toFixed(2)}` : `$${usd.toFixed(4)}`;
}

export function formatAgo(iso: string, nowMs: number): string {
  const s = Math.max(0, (nowMs - Date.parse(iso)) / 1_000);
  if (Number.isNaN(s)) return "";
  if (s < 60) return "just now";
  if (s < 3_600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ago`;
  if (s < 172_800) return "yesterday";
  return new Date(iso).toLocaleDateString();
}
