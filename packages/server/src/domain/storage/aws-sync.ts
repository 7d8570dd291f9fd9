import { guestBundlePath } from "@holdfast/guest";
import type { ObjectStore } from "../../ports/object-store.ts";
import type { SandboxHandle } from "../../ports/sandbox-provider.ts";
import { checkStale, leaseArgs } from "../machines/guest-fence.ts";
import { filesMount } from "../sandboxes/mounts.ts";
import { type ExecResult, runExec } from "../sandboxes/run-exec.ts";
import type { SyncLease } from "./sync-rows.ts";

const syncTimeoutMs = 30 * 60 * 1000;
/** AWS gives none for less. */
const credentialLifetimeMs = 60 * 60 * 1000;
const progressEveryMs = 1_000;
const endTimeoutMs = 20_000;

/**
 * The two objects that describe a copy are ours: files of their names are left out. The root of what `aws s3 sync --no-follow-symlinks` walks must not be a symlink itself, and a volume's mount point is
 * one: root resolves it, claudeuser reads below it.
 */
const script =
  'dir=$(readlink -f "$1") && shift && exec runuser -u claudeuser -- aws s3 sync --no-follow-symlinks --no-progress --exclude .manifest --exclude .manifest.objects "$dir" "$@"';

export interface AwsSync {
  /** Marks its processes, for whoever has to end them. */
  id: string;
  lease: SyncLease;
  handle: SandboxHandle;
  prefix: string;
  store: ObjectStore;
  signal: AbortSignal;
  /** Told of files as they are saved. */
  onProgress: (done: number) => void;
}

export interface Synced {
  /** What was left out, and why. */
  warnings: string[];
  /** Whether nothing can be written below the prefix any more with what the sandbox was given. */
  sealed: boolean;
}

/**
 * `aws s3 sync` in the sandbox. Its credentials are ended with it, however it ends, where the storage can. A lease that
 * is over does not begin it.
 */
export async function awsSync(sync: AwsSync): Promise<Synced> {
  const { prefix, store, signal } = sync;
  const credentials = await store.credentialsFor(prefix, { lifetimeMs: credentialLifetimeMs, signal });
  const end = () => credentials.end(AbortSignal.timeout(endTimeoutMs));
  let warnings: string[];
  try {
    warnings = await runSync(sync, credentials.env);
  } catch (error) {
    // They last until their time is over; what they write counts for nothing without a manifest.
    await end().catch(() => undefined);
    throw error;
  }
  return { warnings, sealed: await end() };
}

async function runSync(sync: AwsSync, credentials: Record<string, string>): Promise<string[]> {
  const { id, lease, handle, prefix, store, signal, onProgress } = sync;
  const endpoint = store.sandboxEndpoint === undefined ? [] : ["--endpoint-url", store.sandboxEndpoint];
  const args = ["sh", "-c", fenced(lease), "sh", filesMount, `s3://${store.bucket}/${prefix}`, ...endpoint];
  const secrets = { ...credentials, HOLDFAST_PROCESS: id };
  const onStdout = countUploads(onProgress);
  const result = await runExec(handle, args, { secrets, timeoutMs: syncTimeoutMs, signal, onStdout });
  if (lease !== undefined) checkStale(result, { id: lease.sessionId, generation: lease.generation });
  return warningsOf(result);
}

/** Ids are letters, digits and `_`. */
function fenced(lease: SyncLease): string {
  if (lease === undefined) return script;
  const args = leaseArgs({ id: lease.sessionId, generation: lease.generation }).join(" ");
  return `node ${guestBundlePath} fence ${args} >/dev/null || exit $?; ${script}`;
}

/** Code 2 of the AWS CLI: everything but what it warns of (a file that vanished or cannot be read) was saved. */
function warningsOf({ code, stdout, stderr }: ExecResult): string[] {
  if (code === 0) return [];
  const said = `${stderr}\n${stdout}`.trim();
  if (code !== 2) throw new Error(`aws s3 sync ended with exit code ${code}: ${said.slice(-2_000)}`);
  const lines = said.split("\n").filter((line) => line.startsWith("warning:"));
  return lines.length > 0 ? lines.slice(0, 20) : [said.slice(-1_000) || "some files were left out"];
}

/** Calls back with the count of uploads, at most once a second. */
function countUploads(tell: (done: number) => void): (text: string) => void {
  let done = 0;
  let toldMs = performance.now();
  return (text) => {
    done += text.split("upload: ").length - 1;
    const now = performance.now();
    if (done === 0 || now - toldMs < progressEveryMs) return;
    toldMs = now;
    tell(done);
  };
}
