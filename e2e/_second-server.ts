import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../packages/server/src/main.ts", import.meta.url));

/** Another server process beside an installation's own: the same options, a data directory and a port of its own. */
export class SecondServer implements AsyncDisposable {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #log: string;

  private constructor(child: ChildProcess, { url, log }: { url: string; log: string }) {
    this.#child = child;
    this.#log = log;
    this.url = url;
  }

  static async start(options: Record<string, unknown>, folder: string): Promise<SecondServer> {
    mkdirSync(folder, { recursive: true, mode: 0o711 });
    const file = join(folder, "options.json");
    const dataDir = join(folder, "data");
    writeFileSync(file, JSON.stringify({ ...options, port: 0, dataDir }), { mode: 0o600 });
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, "--exit-with-parent"], {
      env: { PATH: process.env.PATH ?? "", HOLDFAST_OPTIONS_FILE: file },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const log = join(folder, "server.log");
    child.stderr.pipe(createWriteStream(log, { flags: "a" }));
    const [line] = (await once(createInterface(child.stdout), "line")) as [string];
    const said = JSON.parse(line) as { ready: boolean; url: string };
    if (!said.ready) throw new Error(`the second server did not start: ${line}`);
    return new SecondServer(child, { url: said.url, log });
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null)
      throw new Error(`the second server ended: exit code ${exitCode}: ${readFileSync(this.#log)}`);
    if (signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGCONT");
    this.#child.kill("SIGKILL");
    await ended;
  }
}
