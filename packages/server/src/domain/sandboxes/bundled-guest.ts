import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const program = `
const { bundleGuest } = await import(${JSON.stringify(fileURLToPath(import.meta.resolve("@holdfast/guest/bundle")))});
process.stdout.write((await bundleGuest()).code, () => process.exit(0));
`;

/** The guest as one module. Bundled by a process of its own: the bundler leaves a helper running in the one that uses it. */
export async function bundledGuest(): Promise<string> {
  const args = ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}
