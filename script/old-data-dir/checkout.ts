import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Whether the repository's history goes back to this commit; a shallow clone may not have it. */
export function hasCommit(commit: string): boolean {
  try {
    execFileSync("git", ["-C", root, "cat-file", "-e", `${commit}^{commit}`], { stdio: "ignore" });
    return true;
  } catch {
    // Not there; the caller says what that means.
    return false;
  }
}

/**
 * The program as it was at a commit, ready to run, below the checkout's cache; made once. It stays where it is: a
 * keeper of that time may live on and load more of itself later.
 */
export function oldCheckout(commit: string): string {
  const cache = join(root, ".cache");
  const place = join(cache, `holdfast-${commit}`);
  if (existsSync(place)) return place;
  mkdirSync(cache, { recursive: true });
  const made = mkdtempSync(join(cache, `holdfast-${commit}.new-`));
  try {
    const tree = execFileSync("git", ["-C", root, "archive", commit], { maxBuffer: 2 ** 28 });
    execFileSync("tar", ["-x", "-C", made], { input: tree });
    installPackages(made);
    renameSync(made, place);
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    // Somebody else's was faster.
    if (!existsSync(place)) throw error;
  }
  return place;
}

/** The npm packages of that time: today's where the two locks agree, else fetched. */
function installPackages(place: string): void {
  const lock = (dir: string) => readFileSync(join(dir, "package-lock.json"), "utf8");
  if (lock(place) !== lock(root)) {
    execFileSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: place, stdio: "inherit" });
    return;
  }
  const from = join(root, "node_modules");
  const to = join(place, "node_modules");
  // Our own packages are links into the tree beside them: copied as links, they lead to the old ones.
  cpSync(join(from, "@holdfast"), join(to, "@holdfast"), { recursive: true, verbatimSymlinks: true });
  for (const name of readdirSync(from)) {
    if (name === "@holdfast" || name === "holdfast") continue;
    const link = join(to, name);
    symlinkSync(relative(dirname(link), join(from, name)), link);
  }
}
