/**
 * Adds to package-lock.json the optional packages for other platforms that npm left out. It does so when its registry
 * does not serve them, and `npm ci` then refuses the whole lock. An entry only has to say for which platform it is: it is
 * never installed on another one. Run after every `npm install`: `npm run gen`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

interface Entry {
  version?: string;
  license?: string;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

const platform =
  /(?<os>android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32|aix)(?:-?(?<cpu>arm64|arm|ia32|x64|loong64|mips64el|ppc64|riscv64|s390x))?(?:-(?<libc>musl|gnu))?/;

/** Returns the names that were added. Changes `packages` in place. */
export function completeLock(packages: Record<string, Entry>): string[] {
  const added: string[] = [];
  for (const parent of Object.values(packages)) {
    for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
      const known = Object.keys(packages).some((path) => path.endsWith(`node_modules/${name}`));
      const found = platform.exec(name.split("/").at(-1) ?? "")?.groups;
      if (known || found?.os === undefined) continue;
      packages[`node_modules/${name}`] = {
        version: version.replace(/^[~^]/, ""),
        ...(found.cpu === undefined ? {} : { cpu: [found.cpu] }),
        ...(parent.dev === true ? { dev: true } : {}),
        ...(found.libc === undefined ? {} : { libc: [found.libc === "gnu" ? "glibc" : "musl"] }),
        ...(parent.license === undefined ? {} : { license: parent.license }),
        optional: true,
        os: [found.os],
      };
      added.push(name);
    }
  }
  return added;
}

if (import.meta.main) {
  const path = join(import.meta.dirname, "..", "package-lock.json");
  const lock = JSON.parse(readFileSync(path, "utf8")) as { packages: Record<string, Entry> };
  const added = completeLock(lock.packages);
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(added.length === 0 ? "The lock is complete." : `Added to the lock: ${added.join(", ")}`);
}
