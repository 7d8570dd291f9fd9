import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { SessionEvent } from "@holdfast/protocol";
import { oldCheckout } from "./checkout.ts";
import { bash, Conversations, isIdle, isSaved, scripted } from "./conversations.ts";
import { startOldSupervisor } from "./supervisor.ts";

/** The commit whose data directories every later one must be able to start on. */
export const oldCommit = "721e6d0";

export interface OldSession {
  id: string;
  /** Its log when the old program was killed. */
  log: SessionEvent[];
}

export interface OldAccount {
  id: string;
  apiKey: string;
  /** Modal's id of its living sandbox. */
  sandbox: string | undefined;
}

/** What lies in the data directory. */
export interface OldDataDir {
  dataDir: string;
  /** Has a living sandbox with the guest of that time, and the sessions below but the last. */
  alice: OldAccount;
  /** Its sandbox was stopped. */
  bob: OldAccount;
  /** `finished`: its turn made kept.txt; `asking`: asks whether it may make asked.txt; `running`: its command waits
   * for a file `go` in the workspace, then makes over.txt; `bobs`: its turn made bob.txt. */
  sessions: Record<"finished" | "asking" | "running" | "bobs", OldSession>;
}

export interface OldDataDirOptions {
  dataDir: string;
  imageCacheDir: string;
  commit?: string;
  say?: (text: string) => void;
}

/**
 * Makes a data directory with the program of an old commit, and kills that program: sandbox, guest and keeper live on.
 * Needs root, and a history that has the commit.
 */
export async function makeOldDataDir(options: OldDataDirOptions): Promise<OldDataDir> {
  const { dataDir, imageCacheDir, commit = oldCommit, say = () => undefined } = options;
  say(`Getting ${commit} ready`);
  const checkout = oldCheckout(commit);
  say("Starting it");
  await using supervisor = await startOldSupervisor({ checkout, dataDir, imageCacheDir });
  const [alice, bob] = ["alice", "bob"].map((name) => addAccount(checkout, dataDir, name)) as [Added, Added];
  const alices = new Conversations(supervisor.url, alice.apiKey);
  const bobs = new Conversations(supervisor.url, bob.apiKey);
  say("Holding its conversations");
  const ids = await hold(alices, bobs);
  const sandboxes = (await alices.sandboxes()).filter(({ state }) => state === "running");
  const sessions = {
    finished: { id: ids.finished, log: await alices.log(ids.finished) },
    asking: { id: ids.asking, log: await alices.log(ids.asking) },
    running: { id: ids.running, log: await alices.log(ids.running) },
    bobs: { id: ids.bobs, log: await bobs.log(ids.bobs) },
  };
  say("Killing it");
  await supervisor.kill();
  return {
    dataDir,
    alice: { ...alice, sandbox: sandboxes[0]?.provider_id },
    bob: { ...bob, sandbox: undefined },
    sessions,
  };
}

type Added = Omit<OldAccount, "sandbox">;

function addAccount(checkout: string, dataDir: string, name: string): Added {
  const main = join(checkout, "packages", "cli", "src", "main.ts");
  const args = ["--disable-warning=ExperimentalWarning", main, "account", "add", name, "--data-dir", dataDir];
  const { id, api_key: apiKey } = JSON.parse(
    execFileSync(process.execPath, [...args, "-o", "json"], { encoding: "utf8", env: { PATH: process.env.PATH } }),
  ) as { id: string; api_key: string };
  return { id, apiKey };
}

async function hold(alices: Conversations, bobs: Conversations) {
  const bobsSession = await bobs.begin("Create a file bob.txt that says written before");
  await bobs.until(bobsSession, "the end of bob's turn", isIdle);
  await bobs.until(bobsSession, "the copy of bob's workspace", isSaved);
  await bobs.stopSandboxes();
  const finished = await alices.begin("Create a file kept.txt that says written before");
  await alices.until(finished, "the end of alice's turn", isIdle);
  await alices.until(finished, "the copy of alice's workspace", isSaved);
  const asking = await alices.begin(scripted(bash("echo allowed > asked.txt"), { text: "Asked." }), { asks: true });
  await alices.until(asking, "the question", (event) => event.type === "holdfast.permission_request");
  const command = "until [ -e go ]; do sleep 0.2; done; echo over > over.txt";
  const running = await alices.begin(scripted(bash(command), { text: "Over." }));
  await alices.until(running, "the command", (event) => event.type === "agent.tool_use");
  return { finished, asking, running, bobs: bobsSession };
}
