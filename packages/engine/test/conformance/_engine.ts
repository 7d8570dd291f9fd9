import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type App, type Image, ModalClient, type Sandbox, type SandboxExecParams } from "modal";
import { createLogger, type Engine, type EngineHooks, type EngineOptionsInput, startEngine } from "../../src/index.ts";

/** Base images are made once per checkout, not once per test. */
export const imageCacheDir = fileURLToPath(new URL("../../../../.cache/engine-images", import.meta.url));
export const credentials = { tokenId: "ak-conformance", tokenSecret: "as-conformance" };

export interface TestEngine extends AsyncDisposable {
  engine: Engine;
  dataDir: string;
  modal: ModalClient;
  app: App;
  /** Debian, without any step. */
  image: Image;
  /** A new client of the same engine. */
  client(credentials?: { tokenId: string; tokenSecret: string }): ModalClient;
  create(params?: Parameters<ModalClient["sandboxes"]["create"]>[2]): Promise<Sandbox>;
}

/** A new data directory, removed with the stack. */
export function temporaryDataDir(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "hfc-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** The official SDK takes the server's address from the environment, at construction. */
export function clientFor(url: string, given = credentials): ModalClient {
  process.env.MODAL_SERVER_URL = url;
  return new ModalClient({ ...given, environment: "", logLevel: "error" });
}

/** A real engine on a directory of its own, with everything it starts gone at the end. */
export async function testEngine(
  options: Partial<EngineOptionsInput> = {},
  hooks: EngineHooks = {},
): Promise<TestEngine> {
  await using stack = new AsyncDisposableStack();
  const dataDir = stack.use(temporaryDataDir()).path;
  const engine = await startEngine(
    { dataDir, imageCacheDir, ...credentials, ...options },
    { log: createLogger(process.env.ENGINE_LOG ?? "silent"), ...hooks },
  );
  stack.defer(() => engine.shutdown());
  const clients: ModalClient[] = [];
  stack.defer(() => {
    for (const made of clients) made.close();
  });
  const client = (given = credentials) => {
    const made = clientFor(engine.url, given);
    clients.push(made);
    return made;
  };
  const modal = client();
  const app = await modal.apps.fromName("conformance", { createIfMissing: true });
  const image = modal.images.fromRegistry("debian:12-slim");
  await image.build(app);
  const owned = stack.move();
  return {
    engine,
    dataDir,
    modal,
    app,
    image,
    client,
    create: (params = {}) => modal.sandboxes.create(app, image, params),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

type TextExec = SandboxExecParams & { mode?: "text" };

export interface Output {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command to its end. */
export async function run(sandbox: Sandbox, args: string[], params: TextExec = {}): Promise<Output> {
  const process = await sandbox.exec(args, params);
  const [stdout, stderr, code] = await Promise.all([
    process.stdout.readText(),
    process.stderr.readText(),
    process.wait(),
  ]);
  return { code, stdout, stderr };
}

/** Runs a line of shell. */
export function sh(sandbox: Sandbox, script: string, params: TextExec = {}): Promise<Output> {
  return run(sandbox, ["sh", "-c", script], params);
}
