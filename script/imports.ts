// Whether every import goes in an allowed direction: between packages, and between the layers of one. Circles are
// Biome's (`noImportCycles`). Why: docs/decisions/020-rooms.md.
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

/** What the sources of each package may import; tests and the kit may import anything. */
const packages: Record<string, readonly string[]> = {
  std: [],
  protocol: ["std"],
  claude: ["std", "protocol"],
  guest: ["std", "protocol"],
  sdk: ["std", "protocol"],
  server: ["std", "protocol", "claude", "s3", "guest"],
  // It serves the scripted model where there is no key.
  gateway: ["std", "protocol", "scripted-model"],
  engine: ["std"],
  "scripted-model": ["std"],
  s3: ["std"],
  web: ["std", "protocol", "sdk"],
  cli: ["std", "protocol", "sdk"],
};

/** Loaded when a command needs them, so that the others start fast; their types cost nothing. */
const onDemand: Record<string, readonly string[]> = {
  cli: ["server", "engine", "gateway", "s3", "scripted-model"],
};

/** Folders of a package that only the named others import; `.` is what lies beside them. */
const layers: Record<string, Record<string, readonly string[]>> = {
  server: {
    adapters: ["."],
    http: ["."],
    domain: [".", "http"],
    config: [".", "http", "domain", "adapters"],
    ports: [".", "http", "domain", "adapters"],
    // Everything that a request may need: what is beside it composes, and `domain` is given its parts.
    ".": ["http"],
  },
  engine: {
    services: ["."],
    behaviour: [".", "services"],
  },
};

export interface Import {
  specifier: string;
  /** `import type …`, or by `import("…")`. */
  isLight: boolean;
}

const statement =
  /^(?:import|export)\s+(type\s)?[^;'"`]*?\bfrom\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm;

/** What a source imports. Biome's format is what makes lines enough. */
export function importsOf(source: string): Import[] {
  return [...source.matchAll(statement)].map(([, type, from, bare, dynamic]) => ({
    specifier: from ?? bare ?? dynamic ?? "",
    isLight: type !== undefined || dynamic !== undefined,
  }));
}

/** Of a file by its path from the root; each says what is wrong with it. */
export function wrongImports(path: string, imports: readonly Import[]): string[] {
  const [, name = "", src, ...inside] = path.split("/");
  const allowed = packages[name];
  if (allowed === undefined || src !== "src" || /\.test\.tsx?$/.test(path)) return [];
  return imports.flatMap((each) => {
    const other = /^@holdfast\/([^/]+)/.exec(each.specifier)?.[1];
    if (other !== undefined) return wrongPackage(name, other, each).map((why) => `${path}: ${why}`);
    if (!each.specifier.startsWith(".")) return [];
    const [, owner = "", , ...target] = normalize(join(dirname(path), each.specifier)).split("/");
    if (owner !== name) return [`${path}: ${each.specifier} is inside of another package: use its door`];
    return wrongLayer(name, folderOf(inside), folderOf(target)).map((why) => `${path}: ${why}`);
  });
}

function wrongPackage(name: string, other: string, { isLight }: Import): string[] {
  if (packages[name]?.includes(other) || (isLight && onDemand[name]?.includes(other))) return [];
  return [`${name} may not import ${other}`];
}

function wrongLayer(name: string, from: string, to: string): string[] {
  const importers = layers[name]?.[to];
  if (importers === undefined || from === to || importers.includes(from)) return [];
  return [`${from} may not import ${to}`];
}

const folderOf = (parts: readonly string[]) => (parts.length > 1 ? (parts[0] ?? ".") : ".");

/** Every source of the tree below `root`. */
export function checkTree(root: string): string[] {
  const found = globSync("packages/*/src/**/*.{ts,tsx}", { cwd: root, exclude: ["**/fixtures/**"] });
  const known = new Set(found.map((path) => path.split("/")[1] ?? ""));
  const strange = [...known].filter((name) => name !== "testkit" && packages[name] === undefined);
  return [
    ...strange.map((name) => `packages/${name} stands in no table of script/imports.ts`),
    ...found.sort().flatMap((path) => wrongImports(path, importsOf(readFileSync(join(root, path), "utf8")))),
  ];
}

if (import.meta.main) {
  const root = join(import.meta.dirname, "..");
  const wrong = checkTree(root);
  for (const each of wrong) console.error(each);
  if (wrong.length > 0) {
    console.error(
      `${wrong.length} imports go in a direction that ${relative(root, import.meta.filename)} does not allow`,
    );
    process.exitCode = 1;
  }
}
