import { accessSync, constants, globSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseSync } from "vite";
import { shellFunctions, shellPrograms } from "./shell-words.ts";

export const root = fileURLToPath(new URL("../../", import.meta.url));

/** A program that a source names where a command stands. */
export interface Use {
  /** From the root of the checkout. */
  file: string;
  program: string;
  /** `certain`: a call that starts it; `likely`: a word that would be one, at the head of a list. */
  kind: "certain" | "likely";
}

interface Node {
  type: string;
  [key: string]: unknown;
}

const sources = ["packages/*/{src,test}/**/*.{ts,mjs}", "{e2e,bench,script,examples}/**/*.{ts,mjs}"];
const shells = ["script/{common.sh,start,test,verify-modal,clean-machine*}", "{bin,.ci}/*", "examples/*.sh"];
const starters = new Set(["spawn", "spawnSync", "execFile", "execFileSync", "execSync", "exec", "fork"]);

export function allUses(): Use[] {
  const typed = globSync(sources, { cwd: root }).flatMap((file) =>
    usesOf(file, readFileSync(join(root, file), "utf8")),
  );
  const scripts = globSync(shells, { cwd: root })
    .map((file) => ({ file, text: readFileSync(join(root, file), "utf8") }))
    .filter(({ file, text }) => !file.endsWith(".ts") && !text.startsWith("#!/usr/bin/env node"));
  // They source one another: a function of one is a word of all.
  const own = new Set(scripts.flatMap(({ text }) => shellFunctions(text)));
  const shell = scripts.flatMap(({ file, text }) => shellUses(file, text).filter(({ program }) => !own.has(program)));
  return [...typed, ...shell];
}

const shellUses = (file: string, text: string): Use[] =>
  shellPrograms(text).map((program) => ({ file, program, kind: "certain" }));

/** The programs that a module starts. */
export function usesOf(file: string, text: string): Use[] {
  const uses: Use[] = [];
  const { program } = parseSync(file, text) as unknown as { program: Node };
  const imported = namesFrom(program, /^(node:)?child_process$/);
  const strings = namedTexts(program);
  const foreign = new Set<unknown>();
  walk(program, (node) => {
    // What follows `-c` here is not the shell's.
    if (node.type === "CallExpression" && /^(python|node|psql)/.test(textOf((node.arguments as Node[])[0]) ?? ""))
      foreign.add((node.arguments as Node[])[1]);
    if (node.type === "CallExpression") uses.push(...callUses(node, imported).map((use) => ({ file, ...use })));
    const list = node.type === "ArrayExpression" ? node.elements : node.arguments;
    if (!Array.isArray(list)) return;
    const items = list as (Node | null)[];
    if (node.type === "ArrayExpression") {
      const word = textOf(items[0]);
      if (word !== undefined && items.length > 1 && isWord(word)) {
        uses.push({ file, program: bare(word), kind: word.startsWith("/") ? "certain" : "likely" });
      }
    }
    for (const [index, item] of items.entries()) {
      if (textOf(items[index - 1]) !== "-c" || item === null) continue;
      const script = textOf(item) ?? namedBefore(strings.get(nameOf(item)), item);
      // Of a shell, or of what nobody can see from here.
      const of = textOf(items[index - 2]);
      const shell = !foreign.has(node) && (of === undefined || /(^|\/)(ba|da)?sh$/.test(of));
      if (script !== undefined && shell) uses.push(...shellUses(file, script));
    }
  });
  return uses;
}

function callUses(node: Node, imported: Map<string, string>): Omit<Use, "file">[] {
  const [first, second] = node.arguments as Node[];
  const word = textOf(first);
  if (word === undefined) return [];
  const name = nameOf(node.callee as Node);
  const starter = imported.get(name);
  if (starter === "exec" || starter === "execSync")
    return shellPrograms(word).map((program) => ({ program, kind: "certain" }));
  if (!isWord(word)) return [];
  if (starter !== undefined && starters.has(starter)) return [{ program: bare(word), kind: "certain" }];
  return second?.type === "ArrayExpression" ? [{ program: bare(word), kind: "likely" }] : [];
}

/** What a module imports from another one, by its local name. */
function namesFrom(program: Node, module: RegExp): Map<string, string> {
  const names = new Map<string, string>();
  walk(program, (node) => {
    if (node.type !== "ImportDeclaration" || !module.test(String((node.source as Node).value))) return;
    for (const each of node.specifiers as Node[])
      if (each.imported !== undefined) names.set(nameOf(each.local as Node), nameOf(each.imported as Node));
  });
  return names;
}

/** The nearest one before its use, or the only one. */
function namedBefore(texts: { start: number; text: string }[] | undefined, use: Node): string | undefined {
  return (texts?.findLast(({ start }) => start < Number(use.start)) ?? texts?.[0])?.text;
}

/** Texts that have a name, by it, in the order of the source. */
function namedTexts(program: Node): Map<string, { start: number; text: string }[]> {
  const found = new Map<string, { start: number; text: string }[]>();
  walk(program, (node) => {
    const text = node.type === "VariableDeclarator" ? textOf(node.init as Node | null) : undefined;
    if (text === undefined) return;
    const name = nameOf(node.id as Node);
    found.set(name, [...(found.get(name) ?? []), { start: Number(node.start), text }]);
  });
  return found;
}

const isWord = (text: string) =>
  /^(\/(usr\/)?s?bin\/)?[a-z][a-z0-9._+-]*$/.test(text) && !/\.(ts|m?js|txt|md|json)$/.test(text);

const bare = (program: string) => program.slice(program.lastIndexOf("/") + 1);

const nameOf = (node: Node): string =>
  String(node.type === "MemberExpression" ? nameOf(node.property as Node) : node.name);

/** The text of a literal; what is put into a template stands as X. */
function textOf(node: Node | null | undefined): string | undefined {
  if (node?.type === "Literal" && typeof node.value === "string") return node.value;
  if (node?.type !== "TemplateLiteral") return undefined;
  return (node.quasis as { value: { cooked: string } }[]).map(({ value }) => value.cooked).join("X");
}

function walk(node: Node, visit: (node: Node) => void): void {
  visit(node);
  for (const value of Object.values(node))
    for (const each of Array.isArray(value) ? (value as unknown[]) : [value])
      if (each !== null && typeof each === "object" && "type" in each) walk(each as Node, visit);
}

/** Whether this machine has such a program; those of npm packages are not meant. */
export function isInstalled(program: string, path = process.env.PATH ?? ""): boolean {
  return path.split(":").some((dir) => {
    if (dir.includes("/node_modules/")) return false;
    try {
      accessSync(join(dir, program), constants.X_OK);
      return !/\/(node_modules|nodejs)\//.test(realpathSync(join(dir, program)));
    } catch {
      // Not in this directory.
      return false;
    }
  });
}
