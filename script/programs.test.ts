import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { shellPrograms } from "./programs/shell-words.ts";
import { given, justWords, optional, programsOf } from "./programs/table.ts";
import { allUses, isInstalled, root, type Use, usesOf } from "./programs/uses.ts";

const read = (file: string) => readFileSync(join(root, file), "utf8");

/** Packages that a script installs: `"crun=starts the sandboxes"`. */
const declared = (text: string) => [...text.matchAll(/^\s*"([a-z0-9.+-]+)=/gm)].map((match) => match[1] ?? "");

const engine = declared(read("script/common.sh"));
const tests = declared(read("script/test"));
const image = /const tools = \[([^\]]*)\]/.exec(read("packages/server/src/domain/sandboxes/image-template.ts"))?.[1];
const inImage = [...(image ?? "").matchAll(/"([^"]+)"/g)].map((match) => match[1] ?? "");

/** Modules whose commands run in a sandbox. */
const inside = /^packages\/(guest\/src|server\/src\/domain)\//;
/** What runs where script/start alone was run. */
const serves = /^(packages\/[^/]+\/src\/(?!.*\.test\.ts$)|bin\/|script\/(start|common\.sh|preflight\.mjs)$)/;

function packagesAt({ file }: Use): ReadonlySet<string> {
  if (inside.test(file)) return new Set([...given, ...inImage]);
  // The test kit and the scripted model's tests are no part of what is served.
  if (serves.test(file) && !file.startsWith("packages/testkit/")) return new Set([...given, ...engine]);
  return new Set([...given, ...engine, ...tests]);
}

const packageOf = (program: string) => Object.entries(programsOf).find(([, names]) => names.includes(program))?.[0];

/** What is wrong about a use, in words. */
function complaint(use: Use): string | undefined {
  const { file, program, kind } = use;
  const from = packageOf(program);
  if (optional.has(program)) return undefined;
  if (from === undefined) {
    const meant = kind === "certain" || (isInstalled(program) && !justWords.has(program));
    return meant ? `${file}: no package is known to bring ${program} (script/programs/table.ts)` : undefined;
  }
  if (kind === "likely" && justWords.has(program)) return undefined;
  return packagesAt(use).has(from) ? undefined : `${file}: ${program} needs ${from}, which nobody installs there`;
}

test("every program that sources, tests, benches and scripts start is in a package that is installed there", () => {
  const uses = allUses();
  expect([...new Set(uses.flatMap((use) => complaint(use) ?? []))].toSorted()).toEqual([]);
  // The walk sees them: one of each way to start something.
  for (const program of ["crun", "nft", "socat", "initdb", "mmdebstrap", "sha256sum", "openssl", "nsenter", "python3"])
    expect(uses.map((use) => use.program)).toContain(program);
});

test("each package that is installed is wanted by something", () => {
  const libraries = ["ca-certificates", "fonts-dejavu-core"];
  for (const name of [...engine, ...tests])
    if (!libraries.includes(name)) expect(programsOf, name).toHaveProperty(name);
});

test.each([
  ["spawn", 'import { spawn } from "node:child_process"; spawn("nowhere");'],
  ["by another name", 'import { execFileSync as run } from "node:child_process"; run("nowhere", []);'],
  ["an absolute path", 'const args = ["/usr/bin/nowhere", "-x"];'],
  ["a shell's words", 'f(["sh", "-c", `cd /; if true; then x=1 nowhere $y | cat; fi`]);'],
  ["a named script", "const script = 'nowhere'; f('sh', ['-c', script]);"],
])("seen: %s", (_what, source) => {
  const found = usesOf("packages/x/test/a.ts", source).filter(({ program }) => program === "nowhere");
  expect(found).toEqual([{ file: "packages/x/test/a.ts", program: "nowhere", kind: "certain" }]);
  expect(found.map(complaint)).toEqual([expect.stringContaining("no package is known to bring nowhere")]);
});

test("a program of the image alone is missing on the machine, one of the tests alone where it is served", () => {
  const use = { program: "rg", kind: "certain" } as const;
  expect(complaint({ ...use, file: "packages/engine/test/x.test.ts" })).toContain("nobody installs there");
  expect(complaint({ ...use, file: "packages/guest/src/x.ts" })).toBeUndefined();
  expect(complaint({ file: "packages/engine/src/x.ts", program: "socat", kind: "certain" })).toContain("needs socat");
});

test("the shell's own words, quoted text, comments and patterns are no programs", () => {
  const script = `f() { local a=(b c); }; f # nothing
    case "$1" in a | b) grep -q x <<<"$y" ;; *) exit 1 ;; esac
    echo "$(sed s/a/b/ "$z" | sort)" 'rm x' $((1 + 2)) && ! [ -e x ] || exec tar -x`;
  expect(shellPrograms(script).toSorted()).toEqual(["grep", "sed", "sort", "tar"]);
});
