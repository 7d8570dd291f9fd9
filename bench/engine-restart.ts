/**
 * How long an engine is away when it is killed: SIGKILL, a new process at once, as the supervisor does it. Run as root:
 * `node bench/engine-restart.ts [rounds]`. Prints a table; the machine's load is part of it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { imageCacheDir } from "@holdfast/testkit";
import { ModalClient, type Sandbox } from "modal";

const rounds = Number(process.argv[2] ?? 10);
const main = fileURLToPath(new URL("../packages/engine/src/main.ts", import.meta.url));
const credentials = { tokenId: "ak-bench", tokenSecret: "as-bench" };

async function startEngine(dataDir: string) {
  const file = join(dataDir, "options.json");
  const options = { dataDir, imageCacheDir, ...credentials, logLevel: "silent" };
  writeFileSync(file, JSON.stringify(options), { mode: 0o600 });
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main], {
    env: { ...process.env, HOLDFAST_OPTIONS_FILE: file },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const { url } = JSON.parse(line) as { url: string };
  return { child, url };
}

function client(url: string): ModalClient {
  process.env.MODAL_SERVER_URL = url;
  return new ModalClient({ ...credentials, environment: "", logLevel: "error" });
}

async function list(modal: ModalClient): Promise<Sandbox[]> {
  const found: Sandbox[] = [];
  for await (const sandbox of modal.sandboxes.list()) found.push(sandbox);
  return found;
}

/** Until it answers: gRPC waits a moment before it connects again to an address that refused. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!String(error).includes("UNAVAILABLE")) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

async function measure(living: number): Promise<{ ready: number[]; listed: number[]; echoed: number[] }> {
  const dataDir = mkdtempSync(join(tmpdir(), "hfb-"));
  let engine = await startEngine(dataDir);
  try {
    const modal = client(engine.url);
    const app = await modal.apps.fromName("bench", { createIfMissing: true });
    const image = await modal.images.fromRegistry("debian:12-slim").build(app);
    const sandboxes: Sandbox[] = [];
    for (let n = 0; n < living; n++) sandboxes.push(await modal.sandboxes.create(app, image));
    const times = { ready: [] as number[], listed: [] as number[], echoed: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      // As the server holds them: a process in each that reads and answers.
      const echoes = await Promise.all(sandboxes.map((sandbox) => sandbox.exec(["cat"])));
      const readers = echoes.map((echo) => echo.stdout.getReader());
      const dead = once(engine.child, "exit");
      engine.child.kill("SIGKILL");
      await dead;
      const killedMs = performance.now();
      engine = await startEngine(dataDir);
      times.ready.push(performance.now() - killedMs);
      const found = await patiently(() => list(modal));
      times.listed.push(performance.now() - killedMs);
      if (found.length !== living) throw new Error(`${found.length} of ${living} sandboxes were listed`);
      await Promise.all(
        echoes.map(async (echo, index) => {
          await echo.stdin.writeText(`${round}\n`);
          const answer = await readers[index]?.read();
          if (answer?.value !== `${round}\n`) throw new Error(`sandbox ${index} answered ${answer?.value}`);
          await echo.stdin.close();
        }),
      );
      times.echoed.push(performance.now() - killedMs);
    }
    return times;
  } finally {
    const gone = once(engine.child, "exit");
    engine.child.kill("SIGINT");
    await gone;
    rmSync(dataDir, { recursive: true, force: true });
  }
}

console.log(
  `| SIGKILL until … (ms; ${rounds} rounds, load ${loadavg()[0]?.toFixed(1)}) | median | min | max |\n| --- | --- | --- | --- |`,
);
for (const living of [1, 10]) {
  const { ready, listed, echoed } = await measure(living);
  const rows = {
    "the new engine is ready": ready,
    "a client of before has the list": listed,
    "processes of before have answered on their old streams": echoed,
  };
  for (const [name, values] of Object.entries(rows)) {
    const sorted = values.toSorted((a, b) => a - b);
    const cells = [sorted[Math.floor(sorted.length / 2)], sorted[0], sorted.at(-1)].map((ms) => Math.round(ms ?? 0));
    console.log(`| ${name}, ${living} living | ${cells.join(" | ")} |`);
  }
}
