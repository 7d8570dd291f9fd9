type Input = Record<string, unknown>;

const text = (value: unknown) => (typeof value === "string" ? value : "");
const inWorkspace = (path: string) => path.replace(/^\/mnt\/workspace\//, "");
const firstLine = (value: string) => value.trim().split("\n")[0] ?? "";
const count = (value: string) => (value === "" ? 0 : value.replace(/\n$/, "").split("\n").length);
export const plural = (number: number, one: string) => `${number} ${one}${number === 1 ? "" : "s"}`;

export function cut(value: string, max: number): string {
  return value.length <= max ? value : `${value.slice(0, max - 1).trimEnd()}…`;
}

const secretNamed =
  /((?:api[-_]?key|token|secret|password|passwd|authorization)["']?\s*[=:]\s*(?:bearer\s+)?["']?)([^\s"']{6,})/gi;
const secretLike = /\b(sk-[A-Za-z0-9-]{2,6}|hfk_|gh[pousr]_|AKIA|xox[abp]-|eyJ)[A-Za-z0-9_./+-]{10,}/g;

/** Hides what looks like a credential: a terminal may be on a screen that others see, and a bundle is sent away. */
export function maskSecrets(value: string): string {
  return value.replace(secretLike, "$1••••").replace(secretNamed, "$1••••");
}

const rules: Record<string, (input: Input) => string> = {
  Bash: (input) => {
    const more = count(text(input.command).trim()) - 1;
    return cut(maskSecrets(firstLine(text(input.command))), 120) + (more > 0 ? ` (+${plural(more, "line")})` : "");
  },
  Read: (input) => inWorkspace(text(input.file_path)),
  Write: (input) => `${inWorkspace(text(input.file_path))} (${plural(count(text(input.content)), "line")})`,
  Edit: (input) =>
    `${inWorkspace(text(input.file_path))} (+${count(text(input.new_string))} −${count(text(input.old_string))})`,
  NotebookEdit: (input) => inWorkspace(text(input.notebook_path)),
  Grep: (input) =>
    `"${cut(text(input.pattern), 60)}"${text(input.path) === "" ? "" : ` in ${inWorkspace(text(input.path))}`}`,
  Glob: (input) => text(input.pattern),
  WebFetch: (input) => text(input.url),
  WebSearch: (input) => `"${cut(text(input.query), 60)}"`,
  Task: (input) => text(input.description),
  Agent: (input) => text(input.description),
  TodoWrite: (input) => {
    const todos = Array.isArray(input.todos) ? (input.todos as Input[]) : [];
    return `${todos.filter((todo) => todo?.status === "completed").length} of ${todos.length} done`;
  },
};

/** A tool call on one line: its name, and what it was called with. */
export function toolWords(name: string, input: Input): { label: string; params: string } {
  const mcp = /^mcp__(.+?)__(.+)$/.exec(name);
  const label = mcp === null ? name : `${mcp[1]} / ${mcp[2]}`;
  const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
  if (rule !== undefined) return { label, params: rule(input) };
  const scalar = Object.values(input).find((value) => ["string", "number", "boolean"].includes(typeof value));
  return { label, params: scalar === undefined ? "" : cut(maskSecrets(firstLine(String(scalar))), 60) };
}

/** `0.4 s`, `1m 12s`, `2h 5m`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${whole % 60}s`;
  return `${Math.floor(whole / 3600)}h ${Math.floor((whole % 3600) / 60)}m`;
}

export const cost = (usd: number) => (usd >= 10 ? `$${usd.toFixed(2)}` : `$${usd.toFixed(4)}`);

export function ago(iso: string, nowMs: number): string {
  const seconds = (nowMs - Date.parse(iso)) / 1000;
  if (Number.isNaN(seconds)) return "";
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return iso.slice(0, 10);
}
