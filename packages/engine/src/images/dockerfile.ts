/** One instruction with what it says; `text` is how the build log shows it. */
export type Instruction = { line: number; text: string } & (
  | { kind: "from"; image: string; as?: string }
  | { kind: "run"; form: "shell"; script: string }
  | { kind: "run"; form: "exec"; args: string[] }
  | { kind: "env"; pairs: [string, string][] }
  | { kind: "arg"; name: string; fallback?: string }
  | { kind: "workdir"; path: string }
  | { kind: "user"; user: string }
  | { kind: "shell"; args: string[] }
  | { kind: "cmd" | "entrypoint"; form: "shell"; script: string }
  | { kind: "cmd" | "entrypoint"; form: "exec"; args: string[] }
  | { kind: "ignored"; name: string }
);

/** A Dockerfile that cannot be understood or asks for what the engine does not do; the text says which line and what to do. */
export class DockerfileError extends Error {
  override name = "DockerfileError";
}

const ignored = new Set(["EXPOSE", "LABEL", "HEALTHCHECK", "VOLUME", "STOPSIGNAL", "ONBUILD", "MAINTAINER"]);

/** Parses the lines of a Dockerfile (each entry may hold several). */
export function parseDockerfile(lines: string[]): Instruction[] {
  return logicalLines(lines.join("\n").replaceAll("\r\n", "\n").split("\n")).map(parseInstruction);
}

interface LogicalLine {
  line: number;
  text: string;
  /** Lines of here-documents that follow. */
  body: string[];
}

/** Joins continuations, drops comments and empty lines, collects here-documents of RUN. */
function logicalLines(lines: string[]): LogicalLine[] {
  const out: LogicalLine[] = [];
  for (let at = 0; at < lines.length; at++) {
    const first = lines[at] ?? "";
    if (/^\s*(#|$)/.test(first)) continue;
    const line = at + 1;
    let text = first.trimStart();
    while (/\\[ \t]*$/.test(text) && at + 1 < lines.length) {
      text = text.replace(/\\[ \t]*$/, "");
      at++;
      // Comments and empty lines inside a continued instruction are skipped, as Docker does.
      while (at < lines.length && /^\s*(#|$)/.test(lines[at] ?? "")) at++;
      text += lines[at] ?? "";
    }
    text = text.replace(/\\[ \t]*$/, "").trimEnd();
    const entry: LogicalLine = { line, text, body: [] };
    if (/^RUN\s/i.test(text)) {
      for (const word of hereDocuments(text)) {
        while (at + 1 < lines.length) {
          const next = lines[++at] ?? "";
          entry.body.push(next);
          if (next.replace(/^\t+/, "") === word) break;
        }
        if (entry.body.at(-1)?.replace(/^\t+/, "") !== word) {
          throw new DockerfileError(`line ${line}: the here-document <<${word} has no end`);
        }
      }
    }
    out.push(entry);
  }
  return out;
}

function hereDocuments(text: string): string[] {
  const words: string[] = [];
  for (const match of text.matchAll(/(?<!<)<<-?(?:"([A-Za-z_]\w*)"|'([A-Za-z_]\w*)'|([A-Za-z_]\w*))/g)) {
    words.push(match[1] ?? match[2] ?? match[3] ?? "");
  }
  return words;
}

function parseInstruction(entry: LogicalLine): Instruction {
  const { line, text } = entry;
  const match = /^([A-Za-z]+)(?:\s+([\s\S]*))?$/.exec(text);
  const name = match?.[1]?.toUpperCase() ?? "";
  const rest = match?.[2]?.trim() ?? "";
  const fail = (why: string) => new DockerfileError(`line ${line}: ${why}: ${clip(text)}`);
  if (!match) throw fail("not an instruction");
  if (name === "COPY" || name === "ADD") {
    throw fail(`${name} is not supported: no build context reaches this engine. Write the file in a RUN step instead`);
  }
  if (ignored.has(name)) return { kind: "ignored", name, line, text };
  if (rest === "") throw fail(`${name} needs a value`);
  const common = { line, text };
  switch (name) {
    case "FROM":
      return { ...common, ...parseFrom(rest, fail) };
    case "RUN":
      return { ...common, kind: "run", ...commandForm(runScript(stripFlags(rest, fail), entry.body)) };
    case "CMD":
    case "ENTRYPOINT":
      return { ...common, kind: name === "CMD" ? "cmd" : "entrypoint", ...commandForm(rest) };
    case "SHELL": {
      const args = jsonArray(rest);
      if (!args || args.length === 0) throw fail('SHELL needs the form ["program", "argument"]');
      return { ...common, kind: "shell", args };
    }
    case "ENV":
      return { ...common, kind: "env", pairs: parseEnv(rest, fail) };
    case "ARG": {
      const arg = /^([A-Za-z_]\w*)(?:=([\s\S]*))?$/.exec(rest);
      if (!arg?.[1]) throw fail("ARG needs NAME or NAME=value");
      return {
        ...common,
        kind: "arg",
        name: arg[1],
        ...(arg[2] === undefined ? {} : { fallback: words(arg[2])[0] ?? "" }),
      };
    }
    case "WORKDIR":
      return { ...common, kind: "workdir", path: words(rest)[0] ?? "" };
    case "USER":
      return { ...common, kind: "user", user: rest };
    default:
      throw fail(`unknown instruction ${name}`);
  }
}

function parseFrom(rest: string, fail: (why: string) => Error): { kind: "from"; image: string; as?: string } {
  const parts = rest.split(/\s+/).filter((part) => !part.startsWith("--platform="));
  const [image, as, name, extra] = parts;
  if (!image || extra !== undefined || (as !== undefined && (as.toUpperCase() !== "AS" || !name))) {
    throw fail("FROM needs an image, or an image AS name");
  }
  return { kind: "from", image, ...(name === undefined ? {} : { as: name }) };
}

/** `RUN --mount=…` is refused rather than quietly run without its mount. */
function stripFlags(rest: string, fail: (why: string) => Error): string {
  const flag = /^--(\w+)/.exec(rest);
  if (flag) throw fail(`RUN --${flag[1]} is not supported by this engine`);
  return rest;
}

function runScript(rest: string, body: string[]): string {
  if (body.length === 0) return rest;
  // `RUN <<EOF` alone: the document is the script itself.
  if (/^<<-?["']?\w+["']?$/.test(rest)) return body.slice(0, -1).join("\n");
  return [rest, ...body].join("\n");
}

function commandForm(rest: string): { form: "shell"; script: string } | { form: "exec"; args: string[] } {
  const args = jsonArray(rest);
  return args ? { form: "exec", args } : { form: "shell", script: rest };
}

function jsonArray(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined;
  } catch {
    // As with Docker, what is not a JSON array is a shell command.
    return undefined;
  }
}

function parseEnv(rest: string, fail: (why: string) => Error): [string, string][] {
  const parts = words(rest);
  if (!parts[0]?.includes("=")) {
    const old = /^([A-Za-z_]\w*)\s+([\s\S]+)$/.exec(rest);
    if (!old?.[1]) throw fail("ENV needs NAME=value");
    return [[old[1], old[2] ?? ""]];
  }
  return parts.map((part) => {
    const at = part.indexOf("=");
    const name = part.slice(0, at);
    if (at < 1 || !/^[A-Za-z_]\w*$/.test(name)) throw fail(`ENV has no NAME=value at '${clip(part)}'`);
    return [name, part.slice(at + 1)];
  });
}

/** Splits at blanks outside quotes; removes quotes and, outside single quotes, backslashes (but keeps `\$` for `substitute`). */
function words(text: string): string[] {
  const out: string[] = [];
  let current: string | undefined;
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i);
    if (quote !== "'" && c === "\\" && i + 1 < text.length) {
      const next = text.charAt(++i);
      const kept = next === "$" || (quote === '"' && next !== '"' && next !== "\\");
      current = (current ?? "") + (kept ? c + next : next);
    } else if (quote ? c === quote : c === '"' || c === "'") {
      quote = quote ? "" : c;
      current ??= "";
    } else if (!quote && /\s/.test(c)) {
      if (current !== undefined) out.push(current);
      current = undefined;
    } else {
      // Within single quotes nothing is substituted later.
      current = (current ?? "") + (quote === "'" && c === "$" ? "\\$" : c);
    }
  }
  if (current !== undefined) out.push(current);
  return out;
}

/** Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}`; `\$` stays a dollar sign. */
export function substitute(text: string, values: Record<string, string>): string {
  return text.replace(
    /\\\$|\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)(?::([-+])([^}]*))?\}/g,
    (whole, plain: string | undefined, braced: string | undefined, sign: string | undefined, word: string) => {
      if (whole === "\\$") return "$";
      const value = values[plain ?? braced ?? ""] ?? "";
      if (sign === "-") return value === "" ? substitute(word, values) : value;
      if (sign === "+") return value === "" ? "" : substitute(word, values);
      return value;
    },
  );
}

function clip(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
