/**
 * Why Holdfast makes a workspace writable before every turn, shown with the official `modal` SDK alone. It runs against
 * Modal, or against Holdfast's engine by MODAL_SERVER_URL:
 *
 *   MODAL_TOKEN_ID=… MODAL_TOKEN_SECRET=… node examples/modal-sdk.ts
 */
import { ModalClient, type Sandbox } from "modal";

const modal = new ModalClient({ logLevel: "error" });
const app = await modal.apps.fromName("holdfast-example", { createIfMissing: true });

// The image makes a user and gives it the directory. A volume will hide that directory.
const image = await modal.images
  .fromRegistry("node:24-bookworm-slim")
  .dockerfileCommands(["RUN mkdir -p /mnt/workspace && chown 1000:1000 /mnt/workspace"])
  .build(app);
const name = `holdfast-example-${Date.now()}`;
const volume = await modal.volumes.fromName(name, { createIfMissing: true });

let sandbox: Sandbox | undefined;
try {
  sandbox = await modal.sandboxes.create(app, image, {
    timeoutMs: 120_000,
    blockNetwork: true,
    volumes: { "/mnt/workspace": volume },
  });
  const asUser = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
  const write = [...asUser, "sh", "-c", "echo hello > /mnt/workspace/hello.txt && cat /mnt/workspace/hello.txt"];

  const before = await run(sandbox, write);
  console.log(`before: exit ${before.code}, ${before.stderr.trim()}`);

  // The mount point is a symlink: what must change its owner is the directory behind it.
  const step = await run(sandbox, ["sh", "-c", 'chown 1000:1000 "$(readlink -f /mnt/workspace)"']);
  console.log(`permission step: exit ${step.code}`);

  const after = await run(sandbox, write);
  console.log(`after: exit ${after.code}, ${after.stdout.trim()}`);
  process.exitCode = before.code !== 0 && step.code === 0 && after.code === 0 ? 0 : 1;
} finally {
  await sandbox?.terminate();
  await modal.volumes.delete(name, { allowMissing: true });
  modal.close();
}

async function run(on: Sandbox, args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const process = await on.exec(args);
  const [stdout, stderr] = await Promise.all([process.stdout.readText(), process.stderr.readText()]);
  return { code: await process.wait(), stdout, stderr };
}
