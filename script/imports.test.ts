import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkTree, type Import, importsOf, wrongImports } from "./imports.ts";

const root = join(import.meta.dirname, "..");
const heavy = (specifier: string): Import => ({ specifier, isLight: false });

test("the tree is in order", () => {
  expect(checkTree(root)).toEqual([]);
});

test("every way to import is seen, and whether it is light", () => {
  const source = [
    'import "./a.ts";',
    'import b from "./b.ts";',
    'import type { C } from "./c.ts";',
    'import {\n  d,\n  type D,\n} from "./d.ts";',
    'export * from "./e.ts";',
    'export type { F } from "./f.ts";',
    'const g = await import("./g.ts");',
    'export const h = "x";',
    'const text = `import x from "./not.ts"`;',
  ].join("\n");
  expect(importsOf(source)).toEqual([
    heavy("./a.ts"),
    heavy("./b.ts"),
    { specifier: "./c.ts", isLight: true },
    heavy("./d.ts"),
    heavy("./e.ts"),
    { specifier: "./f.ts", isLight: true },
    { specifier: "./g.ts", isLight: true },
  ]);
});

test.each([
  ["packages/server/src/domain/turns/turn.ts", "../../http/app.ts", "domain may not import http"],
  ["packages/server/src/domain/turns/turn.ts", "../../adapters/db/database.ts", "domain may not import adapters"],
  ["packages/server/src/domain/turns/turn.ts", "../../server.ts", "domain may not import ."],
  ["packages/server/src/http/app.ts", "../adapters/db/database.ts", "http may not import adapters"],
  ["packages/server/src/ports/clock.ts", "../domain/text.ts", "ports may not import domain"],
  ["packages/engine/src/state/store.ts", "../behaviour/options.ts", "state may not import behaviour"],
  ["packages/engine/src/behaviour/app/apps.ts", "../../services/app/service.ts", "behaviour may not import services"],
  ["packages/server/src/http/app.ts", "@holdfast/engine", "server may not import engine"],
  ["packages/std/src/sleep.ts", "@holdfast/protocol", "std may not import protocol"],
  ["packages/cli/src/main.ts", "@holdfast/server", "cli may not import server"],
  ["packages/web/src/app.tsx", "../../server/src/index.ts", "inside of another package"],
])("%s and %s: %s", (path, specifier, why) => {
  expect(wrongImports(path, [heavy(specifier)])).toEqual([expect.stringContaining(why)]);
});

test("doors, tests, and what a command loads on demand are allowed", () => {
  const server = [heavy("../domain/text.ts"), heavy("@holdfast/std")];
  expect(wrongImports("packages/server/src/http/app.ts", server)).toEqual([]);
  expect(wrongImports("packages/server/src/domain/a.test.ts", [heavy("@holdfast/engine")])).toEqual([]);
  expect(wrongImports("packages/cli/src/main.ts", [{ specifier: "@holdfast/server", isLight: true }])).toEqual([]);
});

test("a circle is refused, also when nothing but types ties it", () => {
  const directory = mkdtempSync(join(tmpdir(), "circle-"));
  const put = (name: string, text: string) => writeFileSync(join(directory, name), text);
  const lint = () =>
    spawnSync(join(root, "node_modules/.bin/biome"), ["lint", "--error-on-warnings", "--vcs-enabled=false", "."], {
      cwd: directory,
      encoding: "utf8",
    });
  try {
    put("biome.json", readFileSync(join(root, "biome.json"), "utf8").replace(/"\$schema".*\n/, ""));
    put("a.ts", 'import type { B } from "./b.ts";\n\nexport interface A {\n  b: B;\n}\n');
    put("b.ts", "export interface B {\n  n: number;\n}\n");
    expect(lint()).toMatchObject({ status: 0 });
    put("b.ts", 'import type { A } from "./a.ts";\n\nexport interface B {\n  a?: A;\n}\n');
    const refused = lint();
    expect(refused.status).not.toBe(0);
    expect(refused.stdout + refused.stderr).toContain("noImportCycles");
  } finally {
    rmSync(directory, { recursive: true });
  }
});
