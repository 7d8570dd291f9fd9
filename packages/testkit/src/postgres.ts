import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "./free-port.ts";

export interface TestPostgres extends AsyncDisposable {
  /** A new, empty database; its URL has a password. */
  createDatabase(): Promise<string>;
  /** Statements as the superuser; what they print, one line per row. */
  sql(statements: string): Promise<string>;
  /** `immediate`: as after a power cut, every connection breaks. */
  stop(mode?: "fast" | "immediate"): Promise<void>;
  start(): Promise<void>;
  /** At the same address. */
  restart(mode?: "fast" | "immediate"): Promise<void>;
  /** To every process of the cluster: `STOP` and it answers nothing, `CONT` and it goes on. */
  signal(name: "STOP" | "CONT"): Promise<void>;
  readonly port: number;
  readonly dataDir: string;
}

export interface TestPostgresOptions {
  /** Waits for the disk at each commit, as in production; without it only the machine's own end loses data. */
  durable?: boolean;
  /** More settings, as in `postgresql.conf`. */
  settings?: Readonly<Record<string, string>>;
}

const run = promisify(execFile);
const password = "only-for-tests";

/** Ends the cluster when its standard input does: also when the test was killed. */
const watchdog = `cat >/dev/null; "$1/pg_ctl" -D "$2/data" -m immediate -w stop >/dev/null 2>&1; rm -rf "$2"`;

/** A PostgreSQL cluster of the test's own, from Debian's package, on a free port of 127.0.0.1. */
export async function startPostgres(options: TestPostgresOptions = {}): Promise<TestPostgres> {
  const bin = binaries();
  const user = postgresUser();
  const dir = mkdtempSync(join(tmpdir(), "holdfast-postgres-"));
  if (user !== undefined) chownSync(dir, user.uid, user.gid);
  const guard = spawn("sh", ["-c", watchdog, "sh", bin, dir], {
    ...user,
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  const cluster = new Cluster({ bin, user, dir, guard });
  try {
    await cluster.init(options);
    await cluster.start();
    return cluster;
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
}

interface Parts {
  bin: string;
  user: { uid: number; gid: number } | undefined;
  dir: string;
  guard: ChildProcess;
}

class Cluster implements TestPostgres {
  readonly #parts: Parts;
  readonly dataDir: string;
  #databases = 0;
  port = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.dataDir = join(parts.dir, "data");
  }

  async init({ durable = false, settings = {} }: TestPostgresOptions): Promise<void> {
    await this.#run("initdb", ["-D", this.dataDir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]);
    // Named users need the password; the superuser is whom the tests are.
    const access = ["host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256"];
    await this.#write("pg_hba.conf", access);
    const own = { listen_addresses: "127.0.0.1", unix_socket_directories: "", max_connections: "120" };
    const speed = durable ? {} : { fsync: "off", full_page_writes: "off" };
    const lines = Object.entries({ ...own, ...speed, ...settings }).map(([name, value]) => `${name} = '${value}'`);
    await this.#write("postgresql.auto.conf", lines);
  }

  async start(): Promise<void> {
    const again = this.port !== 0;
    for (let attempt = 1; ; attempt++) {
      if (!again) this.port = await freePort();
      try {
        const log = join(this.#parts.dir, "log");
        await this.#run("pg_ctl", ["-D", this.dataDir, "-l", log, "-w", "-t", "60", "-o", `-p ${this.port}`, "start"]);
        break;
      } catch (error) {
        // The free port may have been taken meanwhile.
        if (again || attempt === 5) throw new Error(`PostgreSQL does not start: ${this.#log()}`, { cause: error });
      }
    }
    if (!again) await this.sql(`create role holdfast login password '${password}'`);
  }

  async stop(mode: "fast" | "immediate" = "fast"): Promise<void> {
    await this.#run("pg_ctl", ["-D", this.dataDir, "-m", mode, "-w", "stop"]);
  }

  async restart(mode: "fast" | "immediate" = "fast"): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  async signal(name: "STOP" | "CONT"): Promise<void> {
    const main = readFileSync(join(this.dataDir, "postmaster.pid"), "utf8").split("\n")[0] ?? "";
    const children = readFileSync(`/proc/${main}/task/${main}/children`, "utf8").trim().split(" ");
    for (const pid of [main, ...children]) {
      try {
        process.kill(Number(pid), `SIG${name}`);
      } catch (error) {
        // One that ended meanwhile.
        if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
      }
    }
  }

  async createDatabase(): Promise<string> {
    const name = `holdfast_${++this.#databases}`;
    await this.sql(`create database ${name} owner holdfast template template0`);
    return `postgresql://holdfast:${password}@127.0.0.1:${this.port}/${name}`;
  }

  async sql(statements: string): Promise<string> {
    const where = ["-h", "127.0.0.1", "-p", String(this.port), "-U", "postgres", "-d", "postgres"];
    const out = await this.#run("psql", ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", ...where, "-c", statements]);
    return out.trim();
  }

  /** The watchdog stops the cluster and removes its files. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { guard } = this.#parts;
    if (guard.exitCode !== null) return;
    guard.stdin?.end();
    await once(guard, "exit");
  }

  async #run(program: string, args: readonly string[]): Promise<string> {
    const { bin, user } = this.#parts;
    // Its server keeps our pipes open: so the output of pg_ctl goes nowhere.
    const command = program === "pg_ctl" ? ["-c", '"$0" "$@" >/dev/null 2>&1 </dev/null', join(bin, program)] : [];
    const [file, all] = program === "pg_ctl" ? ["sh", [...command, ...args]] : [join(bin, program), [...args]];
    const { stdout } = await run(file, all, { ...user, cwd: "/", env: { PATH: "/usr/bin:/bin", LC_ALL: "C.UTF-8" } });
    return stdout;
  }

  async #write(name: string, lines: readonly string[]): Promise<void> {
    const { user } = this.#parts;
    const script = 'printf "%s\\n" "$@" > "$0"';
    await run("sh", ["-c", script, join(this.dataDir, name), ...lines], { ...user, cwd: "/" });
  }

  #log(): string {
    const file = join(this.#parts.dir, "log");
    return existsSync(file) ? readFileSync(file, "utf8").slice(-2_000) : "it wrote no log";
  }
}

/** The newest that is installed. */
function binaries(): string {
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).map(Number).filter(Number.isInteger) : [];
  const found = versions.sort((a, b) => b - a).map((version) => join(root, String(version), "bin"));
  const bin = found.find((dir) => existsSync(join(dir, "initdb")));
  if (bin === undefined) {
    throw new Error(`PostgreSQL is not installed below ${root}. Run script/test, or apt-get install postgresql.`);
  }
  return bin;
}

/** PostgreSQL refuses to run as root. */
function postgresUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const line = readFileSync("/etc/passwd", "utf8").match(/^postgres:[^:]*:(\d+):(\d+):/m);
  if (line === null) throw new Error("There is no user postgres. Run script/test, or apt-get install postgresql.");
  return { uid: Number(line[1]), gid: Number(line[2]) };
}
