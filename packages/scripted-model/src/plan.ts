import { hideQuotes, type Quoted } from "./quotes.ts";

/** One thing the demo can do. Paths are as the user wrote them. */
export type Step =
  | { readonly kind: "write"; readonly path: string; readonly content: string }
  | { readonly kind: "append"; readonly path: string; readonly content: string }
  | { readonly kind: "replace"; readonly path: string; readonly from: string; readonly to: string }
  | { readonly kind: "read"; readonly path: string }
  | { readonly kind: "bash"; readonly command: string; readonly did: string; readonly title: string }
  | { readonly kind: "fail"; readonly code: number }
  | { readonly kind: "think"; readonly topic: string }
  | { readonly kind: "count"; readonly to: number }
  | { readonly kind: "long"; readonly words: number }
  | { readonly kind: "markdown" }
  | { readonly kind: "ask" }
  | { readonly kind: "unknown"; readonly text: string };

const VERBS =
  "create|make|write|add|append|put|save|replace|change|delete|remove|rename|move|copy|run|execute|read|show|list|print|" +
  "display|cat|ls|think|count|wait|ask|fail|open|tell";
/** A file name: a hidden quotation or a word of path characters. */
const P = "(\uE000\\d+\uE001|[\\w@~./+-]+)";
/** Characters of a prompt, and of what is left of it without quotations. */
const MAX_PROMPT = 1_000_000;
const MAX_WORDING = 4000;
const MAX_COUNT = 10_000;
const MAX_WORDS = 20_000;

/** Reads plain words into steps; what is not understood becomes an `unknown` step, never a guess. */
export function parsePlan(prompt: string): Step[] {
  if (prompt.length > MAX_PROMPT) return [{ kind: "unknown", text: `${prompt.slice(0, 60)}…` }];
  const quoted = hideQuotes(prompt.trim());
  // Quotations and fences may be long, the instructions around them not: the patterns are not made for it.
  if (quoted.text.length > MAX_WORDING) return [{ kind: "unknown", text: `${prompt.trim().slice(0, 60)}…` }];
  const steps: Step[] = [];
  for (const segment of segmentsOf(quoted.text)) {
    const step = readSegment(segment, quoted, steps);
    if (step) steps.push(step);
  }
  return steps;
}

function segmentsOf(text: string): string[] {
  const lines = text.split("\n").map((line) => line.trim());
  const numbered = lines.filter((line) => /^(\d+[.)]|[-*])\s+/.test(line));
  if (numbered.length >= 2)
    return numbered.map((line) => line.replace(/^(\d+[.)]|[-*])\s+/, "")).flatMap(splitSentence);
  // "Create x with:" and then lines: all of it is the content.
  if (/^[^\n]*:\s*\n/.test(text)) return [text];
  return lines.filter((line) => line !== "").flatMap(splitSentence);
}

function splitSentence(line: string): string[] {
  const connective = /\s*[,;.]?\s*\b(?:and\s+)?(?:then|after that|afterwards|finally)\b[,:\s]+/i;
  const softer = new RegExp(
    `;\\s+|[.!?]\\s+(?=[A-Z\uE000])|,?\\s+and\\s+(?=(?:${VERBS})\\b)|,\\s+(?=(?:${VERBS})\\b)`,
    "i",
  );
  return (
    line
      .split(connective)
      // "In F, replace X with Y" is one instruction.
      .flatMap((part) => (/^in\s+\S+,?\s+(?:replace|change)\b/i.test(part) ? [part] : part.split(softer)))
      .map((part) => part.trim())
      .filter((part) => part !== "")
  );
}

function readSegment(raw: string, quoted: Quoted, before: readonly Step[]): Step | undefined {
  const text = raw
    .replace(/^(?:(?:please|now|first|next|also|and|ok|okay|hi|hello|hey|claude)\b[,!\s]*)+(?=\S)/i, "")
    .replace(/^(?:can|could|would|will)\s+you\s+(?:please\s+)?|^i(?:\s+want|'d like)\s+you\s+to\s+|^let's\s+/i, "")
    .replace(/(?<=[^\s.])[.!]+$/, "")
    .replace(/[,\s]+please$/i, "")
    .replace(/^please\s+/i, "")
    .trim();
  if (text === "") return undefined;
  const context: Context = { text, quoted, before };
  for (const rule of RULES) {
    const step = rule(context);
    if (step) return step;
  }
  return { kind: "unknown", text: quoted.show(raw) };
}

interface Context {
  readonly text: string;
  readonly quoted: Quoted;
  readonly before: readonly Step[];
}
type Rule = (context: Context) => Step | undefined;

const FILE_WORDS = "(?:(?:new|small|short|text|simple|empty|python|shell|markdown)\\s+)*";
const CONTENT_LEAD = new RegExp(
  "^[,\\s]*(?:(?:that|which)\\s+(?:just\\s+|only\\s+)?(?:says?|contains?|has|reads?|holds?)|saying|containing|reading|" +
    "with(?:\\s+(?:the|this))?(?:\\s+(?:following|single))*(?:\\s+(?:contents?|text|words?|lines?))?(?:\\s+of)?|" +
    "and\\s+(?:write|put))\\b\\s*(?:the\\s+(?:words?|text|lines?)\\s+)?:?\\s*|^\\s*:\\s*",
  "i",
);

const RULES: readonly Rule[] = [
  ({ text }) => {
    const code = /\bexit(?:s|ing)?\s+(?:with\s+)?(?:code|status)\s+(\d{1,3})/i.exec(text)?.[1];
    const wanted =
      /\bfail\w*\b.*\b(?:on purpose|deliberately|intentionally)\b|\b(?:on purpose|deliberately)\b.*\bfail/i;
    if (!wanted.test(text) && !(code && /\bcommand\b/i.test(text))) return undefined;
    return { kind: "fail", code: Math.min(255, Number(code ?? 3)) || 3 };
  },
  ({ text, quoted }) => {
    const match = /^think\b\s*(?:hard|first|deeply|carefully)?\s*(?:about|through|of)?\s*([\s\S]*)$/i.exec(text);
    return match ? { kind: "think", topic: quoted.show(match[1] ?? "") } : undefined;
  },
  ({ text }) => {
    const match = /^count\b.*?\bto\s+(\d+)/i.exec(text);
    return match ? { kind: "count", to: clamp(match[1], MAX_COUNT) } : undefined;
  },
  ({ text }) => {
    if (!/\b(?:long|\d+[- ]words?)\b/i.test(text) || !/\b(?:answer|text|essay|story|reply|words?)\b/i.test(text))
      return undefined;
    if (!/^(?:write|give|produce|tell|say|answer|make)\b/i.test(text) || /\bfile\b/i.test(text)) return undefined;
    return { kind: "long", words: clamp(/(\d+)[- ]words?/i.exec(text)?.[1] ?? "300", MAX_WORDS) };
  },
  ({ text }) => (/\bmarkdown\b/i.test(text) && !/\bfile\b|\.md\b/i.test(text) ? { kind: "markdown" } : undefined),
  ({ text }) => (/^ask\s+me\b/i.test(text) ? { kind: "ask" } : undefined),
  readMkdir,
  readWrite,
  readAppend,
  readReplace,
  readRemoval,
  readRun,
  readFile,
  readList,
];

function readMkdir({ text, quoted }: Context): Step | undefined {
  const match = new RegExp(
    `^(?:(?:create|make|add)\\s+(?:(?:a|an|the)\\s+)?(?:new\\s+|empty\\s+)*(?:directory|folder|dir)\\s+(?:called\\s+|named\\s+)?|mkdir\\s+(?:-p\\s+)?)${P}$`,
    "i",
  ).exec(text);
  const path = quoted.path(match?.[1]);
  return path
    ? {
        kind: "bash",
        command: `mkdir -p -- ${shellQuote(path)}`,
        did: `made the directory \`${path}\``,
        title: `Make the directory ${path}`,
      }
    : undefined;
}

function readWrite({ text, quoted }: Context): Step | undefined {
  const put = new RegExp(
    `^(?:write|put|save|store)\\s+([\\s\\S]+?)\\s+(?:to|into|in)\\s+(?:(?:a|the)\\s+)?${FILE_WORDS}(?:file\\s+)?(?:called\\s+|named\\s+)?${P}$`,
    "i",
  ).exec(text);
  const target = quoted.path(put?.[2]);
  const words = put?.[1] ?? "";
  if (target && looksLikeFile(target) && !/^(?:a|an|the)?\s*(?:\w+\s+)*file\b/i.test(words)) {
    return { kind: "write", path: target, content: contentOf(quoted.value(words), target, "") };
  }
  const create = new RegExp(
    `^(?:create|make|write|add|save|generate)\\s+(?:me\\s+)?(?:(?:a|an|the|another)\\s+)?${FILE_WORDS}(file\\s+)?(?:called\\s+|named\\s+|at\\s+)?${P}([\\s\\S]*)$`,
    "i",
  ).exec(text);
  const overwrite = new RegExp(
    `^(?:change|set|overwrite|update)\\s+(?:the\\s+)?(?:contents?\\s+of\\s+)?(?:the\\s+)?(file\\s+)?${P}\\s+(?:to|so that it)(?:\\s+(?:say|says|contain|contains|read))?\\b([\\s\\S]*)$`,
    "i",
  ).exec(text);
  if (overwrite) {
    const path = quoted.path(overwrite[2]);
    const content = quoted.value((overwrite[3] ?? "").replace(/^\s*:?\s*/, ""));
    return path && looksLikeFile(path) ? { kind: "write", path, content: contentOf(content, path, "") } : undefined;
  }
  return create ? readCreate(create, quoted) : undefined;
}

function readCreate(match: RegExpExecArray, quoted: Quoted): Step | undefined {
  const place = new RegExp(`^\\s+(?:in|inside|under)\\s+(?:the\\s+)?(?:folder\\s+|directory\\s+)?${P}(?=\\s|$)`, "i");
  let rest = match[3] ?? "";
  const folder = quoted.path(place.exec(rest)?.[1]);
  const name = quoted.path(match[2]);
  if (!name || (!match[1] && !looksLikeFile(name))) return undefined;
  if (folder) rest = rest.replace(place, "");
  const path = folder ? `${folder.replace(/\/$/, "")}/${name}` : name;
  if (rest.trim() === "") return { kind: "write", path, content: "" };
  const prints = /^[,\s]*(?:that|which)\s+(?:prints|outputs|echoes|logs)\s+/i.exec(rest)?.[0];
  const lead = prints ?? CONTENT_LEAD.exec(rest)?.[0];
  if (lead === undefined) return undefined;
  return {
    kind: "write",
    path,
    content: contentOf(quoted.value(rest.slice(lead.length)), path, prints ? "print" : ""),
  };
}

function readAppend({ text, quoted }: Context): Step | undefined {
  const match =
    new RegExp(
      `^(?:append|add)\\s+(?:(?:a|the)\\s+(?:line|text|words?)\\s*(?:saying|that says|with)?\\s*)?([\\s\\S]+?)\\s+to\\s+(?:the\\s+end\\s+of\\s+)?(?:the\\s+)?(?:file\\s+)?${P}$`,
      "i",
    ).exec(text) ?? undefined;
  const path = quoted.path(match?.[2]);
  if (!path || !looksLikeFile(path)) return undefined;
  return { kind: "append", path, content: contentOf(quoted.value(match?.[1] ?? ""), path, "") };
}

function readReplace({ text, quoted }: Context): Step | undefined {
  const there = new RegExp(
    `^(?:replace|change|substitute)\\s+([\\s\\S]+?)\\s+(?:with|to|by|into)\\s+([\\s\\S]+?)\\s+in\\s+(?:the\\s+)?(?:file\\s+)?${P}$`,
    "i",
  ).exec(text);
  const here = new RegExp(
    `^in\\s+(?:the\\s+)?(?:file\\s+)?${P},?\\s+(?:replace|change|substitute)\\s+([\\s\\S]+?)\\s+(?:with|to|by|into)\\s+([\\s\\S]+)$`,
    "i",
  ).exec(text);
  const [from, to, path] = there ? [there[1], there[2], there[3]] : [here?.[2], here?.[3], here?.[1]];
  const file = quoted.path(path);
  if (!from || to === undefined || !file) return undefined;
  return { kind: "replace", path: file, from: quoted.value(from), to: quoted.value(to) };
}

function readRemoval({ text, quoted }: Context): Step | undefined {
  const gone = new RegExp(
    `^(?:delete|remove|rm)\\s+(?:the\\s+)?(?:(file|directory|folder|dir)\\s+)?(?:called\\s+|named\\s+)?${P}$`,
    "i",
  ).exec(text);
  const path = quoted.path(gone?.[2]);
  if (path) {
    const folder = gone?.[1] !== undefined && gone[1].toLowerCase() !== "file";
    return {
      kind: "bash",
      command: `rm ${folder ? "-r " : ""}-- ${shellQuote(path)}`,
      did: `deleted \`${path}\``,
      title: `Delete ${path}`,
    };
  }
  const moved = new RegExp(
    `^(rename|move|mv|copy|cp)\\s+(?:the\\s+)?(?:file\\s+|folder\\s+|directory\\s+)?${P}\\s+(?:to|into|as)\\s+(?:the\\s+)?(?:folder\\s+|directory\\s+)?${P}$`,
    "i",
  ).exec(text);
  const [from, to] = [quoted.path(moved?.[2]), quoted.path(moved?.[3])];
  if (!from || !to) return undefined;
  const copies = /^c/i.test(moved?.[1] ?? "");
  const command = `${copies ? "cp -r" : "mv"} -- ${shellQuote(from)} ${shellQuote(to)}`;
  return {
    kind: "bash",
    command,
    did: `${copies ? "copied" : "moved"} \`${from}\` to \`${to}\``,
    title: `${copies ? "Copy" : "Move"} ${from} to ${to}`,
  };
}

const BARE_COMMANDS =
  /^(?:ls|pwd|git|npm|npx|node|python3?|echo|whoami|uname|touch|sleep|seq|date|id|env|ps|df|du)(?:\s+[-\w./"'\uE000~$]|$)/;

function readRun({ text, quoted, before }: Context): Step | undefined {
  const whole = quoted.backticks(text);
  if (whole) return bash(whole);
  const wait = /^wait\s+(?:for\s+)?(\d+)\s*(?:s|secs?|seconds?)?$/i.exec(text);
  if (wait) return bash(`sleep ${clamp(wait[1], 3600)}`);
  if (BARE_COMMANDS.test(text)) return bash(quoted.show(text));
  const match =
    /^(?:run|execute|exec)\s+(?:the\s+(?=following|shell|bash|command))?(?:following\s+)?(?:shell\s+|bash\s+)?(?:commands?\b\s*)?:?\s*([\s\S]+)$/i.exec(
      text,
    );
  const rest = match?.[1]?.trim() ?? "";
  if (!match || rest === "") return undefined;
  const script = /^(?:it|(?:the\s+)?(?:file|script|program))\b\s*(.*)$/i.exec(rest);
  const file = script ? (quoted.path(script[1]) ?? lastFile(before)) : undefined;
  if (file) return bash(`${interpreter(file)} ${shellQuote(file)}`);
  const inner = quoted.backticks(rest);
  if (inner) return bash(inner);
  // "run the tests" names no command; guessing one would be a lie.
  if (/^(?:the|a|an|my|some|all|it|this|that)\b/i.test(rest)) return undefined;
  return bash(quoted.show(rest));
}

function readFile({ text, quoted, before }: Context): Step | undefined {
  if (/^(?:read|show|print|display|cat|open)\s+(?:me\s+)?it\b/i.test(text)) {
    const path = lastFile(before);
    return path ? { kind: "read", path } : undefined;
  }
  const match = new RegExp(
    `^(?:(?:read|show|print|display|cat|open|view)\\s+(?:me\\s+)?|what(?:'s|\\s+is)\\s+in\\s+)(?:the\\s+)?(?:contents?\\s+of\\s+)?(?:the\\s+)?(file\\s+)?${P}(?:\\s+(?:back|again|file|to me))*\\??$`,
    "i",
  ).exec(text);
  const path = quoted.path(match?.[2]);
  return path && (match?.[1] || looksLikeFile(path)) ? { kind: "read", path } : undefined;
}

function readList({ text, quoted }: Context): Step | undefined {
  const match =
    /^(?:(?:list|show|see|print|display)\s+(?:me\s+)?(?:all\s+)?(?:of\s+)?(?:the\s+|my\s+)?(?:files|directory|folder|contents?|workspace)|(?:what|which)\s+files\b[^\uE000]*?)(?:\s+(?:are\s+)?(?:in|of|under|inside)\s+(.+?))?\??$/i.exec(
      text,
    );
  if (!match) return undefined;
  const place = match[1] ?? "";
  const path = /^(?:here|(?:the|this|my)\b.*|current.*|workspace)$/i.test(place)
    ? undefined
    : quoted.path(new RegExp(`^${P}$`).exec(place)?.[1]);
  return bash(path ? `ls -la -- ${shellQuote(path)}` : "ls -la");
}

function bash(command: string): Step {
  return { kind: "bash", command, did: `ran \`${command}\``, title: `Run ${command}` };
}

function lastFile(steps: readonly Step[]): string | undefined {
  for (const step of steps.toReversed()) if ("path" in step) return step.path;
  return undefined;
}

function interpreter(path: string): string {
  if (path.endsWith(".py")) return "python3";
  return /\.[cm]?[jt]s$/.test(path) ? "node" : "bash";
}

/** Ends in a newline, as text files do; for a program that "prints" something, the program. */
function contentOf(value: string, path: string, mode: "print" | ""): string {
  let content = value;
  if (mode === "print") {
    if (path.endsWith(".py")) content = `print(${JSON.stringify(value)})`;
    else if (/\.[cm]?[jt]s$/.test(path)) content = `console.log(${JSON.stringify(value)});`;
    else if (path.endsWith(".sh")) content = `echo ${shellQuote(value)}`;
  }
  return content === "" || content.endsWith("\n") ? content : `${content}\n`;
}

function looksLikeFile(path: string): boolean {
  return /[./]/.test(path.slice(0, -1)) && !/^\d+(\.\d+)?$/.test(path);
}

function clamp(digits: string | undefined, most: number): number {
  return Math.min(most, Math.max(1, Number(digits ?? 1)));
}

/** A word for the shell, quoted only where it must be. */
export function shellQuote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
