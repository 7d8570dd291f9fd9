import { setTimeout as wait } from "node:timers/promises";
import { type App, ModalClient, type Sandbox } from "modal";

/**
 * What Holdfast relies on, asked of the real Modal. One image of a few seconds and two sandboxes of a quarter of a core
 * for less than three minutes: well below a cent of a dollar.
 */
interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

interface Bench {
  modal: ModalClient;
  app: App;
  sandbox: Sandbox;
  volumeName: string;
  run(args: string[], options?: { secret?: Record<string, string> }): Promise<Ran>;
}

type Statement = [says: string, holds: (bench: Bench) => Promise<true | string>];

const asUser = (command: string) => ["runuser", "-u", "claudeuser", "--", "sh", "-c", command];
const mount = "/mnt/workspace";
const limitMs = 4 * 60_000;

const expectRan = (ran: Ran, good: boolean): true | string => good || JSON.stringify(ran);

const statements: Statement[] = [
  ["claudeuser is 1000:1000", async ({ run }) => is(await run(asUser("id -u; id -g")), "1000\n1000")],
  ["an exec runs as root", async ({ run }) => is(await run(["id", "-u"]), "0")],
  ["there is no sudo", async ({ run }) => fails(await run(["sh", "-c", "command -v sudo"]))],
  [
    "the mount point of a volume is a symlink to /__modal/volumes/vo-…",
    async ({ run }) => {
      const ran = await run(["readlink", "-f", mount]);
      return expectRan(ran, /^\/__modal\/volumes\/vo-\w+$/.test(ran.stdout.trim()));
    },
  ],
  ["the directory behind it is root's", async ({ run }) => is(await run(["stat", "-L", "-c", "%u", mount]), "0")],
  [
    "claudeuser may not write there, although the image gave it the directory",
    async ({ run }) => fails(await run(asUser(`mkdir ${mount}/before`))),
  ],
  [
    "chown of the symlink itself does not help",
    async ({ run }) => {
      await run(["chown", "-h", "1000:1000", mount]);
      return fails(await run(asUser(`mkdir ${mount}/before`)));
    },
  ],
  [
    "chown of the resolved directory, by root, in an exec, does",
    async ({ run }) => {
      const step = await run(["sh", "-c", `chown 1000:1000 "$(readlink -f ${mount})"`]);
      if (step.code !== 0) return JSON.stringify(step);
      return is(await run(asUser(`mkdir ${mount}/after && ls ${mount}`)), "after");
    },
  ],
  [
    "a secret of one exec is not in another",
    async ({ run }) => {
      const secret = { HOLDFAST_VERIFY: "only here" };
      const first = await run(["sh", "-c", "echo $HOLDFAST_VERIFY"], { secret });
      const second = await run(["sh", "-c", "echo $HOLDFAST_VERIFY"]);
      return expectRan(second, first.stdout.trim() === "only here" && second.stdout.trim() === "");
    },
  ],
  [
    "a sandbox is found again by its tags",
    async ({ modal, app, sandbox, volumeName }) => {
      for await (const found of modal.sandboxes.list({ appId: app.appId, tags: { "holdfast.verify": volumeName } })) {
        if (found.sandboxId === sandbox.sandboxId) return true;
      }
      return "it is not in the list";
    },
  ],
];

function is(ran: Ran, text: string): true | string {
  return expectRan(ran, ran.code === 0 && ran.stdout.trim() === text);
}

function fails(ran: Ran): true | string {
  return expectRan(ran, ran.code !== 0);
}

async function within<T>(promise: Promise<T>, what: string, ms: number): Promise<T> {
  const stop = new AbortController();
  const late = wait(ms, undefined, { signal: stop.signal }).then(() => {
    throw new Error(`${what} took longer than ${ms / 1000} s`);
  });
  // Rejects when it is stopped; the race is over by then.
  late.catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    stop.abort();
  }
}

async function verify(modal: ModalClient): Promise<number> {
  const app = await modal.apps.fromName("holdfast-verify", { createIfMissing: true });
  const volumeName = `holdfast-verify-${Date.now()}`;
  let sandbox: Sandbox | undefined;
  try {
    const image = await modal.images
      .fromRegistry("node:24-bookworm-slim")
      .dockerfileCommands([
        "RUN sed -i 's/^node:/claudeuser:/' /etc/passwd /etc/shadow /etc/group",
        `RUN mkdir -p ${mount} && chown 1000:1000 ${mount}`,
        "USER root",
      ])
      .build(app);
    const volume = await modal.volumes.fromName(volumeName, { createIfMissing: true });
    const created = await modal.sandboxes.create(app, image, {
      cpu: 0.25,
      memoryMiB: 256,
      timeoutMs: 180_000,
      blockNetwork: true,
      tags: { "holdfast.verify": volumeName },
      volumes: { [mount]: volume },
    });
    sandbox = created;
    return await check({
      modal,
      app,
      sandbox: created,
      volumeName,
      run: (args, options) => run(modal, created, args, options),
    });
  } finally {
    await sandbox?.terminate();
    await modal.volumes.delete(volumeName, { allowMissing: true });
  }
}

async function check(bench: Bench): Promise<number> {
  let wrong = 0;
  for (const [says, holds] of statements) {
    const outcome = await within(holds(bench), says, 40_000).catch((error: unknown) => String(error));
    if (outcome !== true) wrong++;
    console.log(outcome === true ? `✓ ${says}` : `❌ ${says}\n    ${outcome}`);
  }
  return wrong;
}

async function run(
  modal: ModalClient,
  sandbox: Sandbox,
  args: string[],
  { secret }: { secret?: Record<string, string> } = {},
): Promise<Ran> {
  const secrets = secret === undefined ? {} : { secrets: [await modal.secrets.fromObject(secret)] };
  const process = await sandbox.exec(args, { timeoutMs: 30_000, ...secrets });
  const [stdout, stderr] = await Promise.all([process.stdout.readText(), process.stderr.readText()]);
  return { code: await process.wait(), stdout, stderr };
}

async function main(): Promise<number> {
  const { MODAL_TOKEN_ID, MODAL_TOKEN_SECRET } = process.env;
  if (!MODAL_TOKEN_ID || !MODAL_TOKEN_SECRET) {
    console.error("Nothing was verified: MODAL_TOKEN_ID and MODAL_TOKEN_SECRET are not set.");
    console.error("Make a token at Modal, set both, and run this again. It costs less than 0.01 $.");
    return 2;
  }
  const modal = new ModalClient({ logLevel: "error" });
  try {
    const wrong = await within(verify(modal), "The whole run", limitMs);
    console.log(
      wrong === 0 ? `All ${statements.length} statements hold.` : `${wrong} of ${statements.length} do not hold.`,
    );
    return wrong === 0 ? 0 : 1;
  } finally {
    modal.close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`Not verified: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
