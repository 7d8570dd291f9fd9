import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import { expect, test } from "vitest";
import { createSteppedKit } from "./_steps.ts";

test("a restart of the service, as `systemctl restart` does it: the running turn goes on and ends well", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "holdfast-restart-"));
  chmodSync(dataDir, 0o711);
  try {
    const first = await createSteppedKit({ dataDir });
    const { account } = first.kit;
    const { id } = await account.client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
    await account.client.beta.sessions.events.send(id, {
      events: [{ type: "user.message", content: [{ type: "text", text: first.steps.prompt("restarted", 40) }] }],
    });
    await first.steps.said(id, "Step 3.");
    const sandbox = (await first.kit.sandbox()).sandboxId;
    await first.kit.system.stop({ endTurns: false });
    await first.kit[Symbol.asyncDispose]();

    const second = await createSteppedKit({ dataDir });
    await using kit = second.kit;
    kit.account = { ...account, client: new Anthropic({ baseURL: kit.url, apiKey: account.apiKey }) };
    await second.steps.idle(id);
    await second.steps.checkWhole(id, "restarted", { steps: 40 });
    expect((await kit.sandbox()).sandboxId).toBe(sandbox);
    // Where sandboxes look for it: a port that is somebody else's now would answer them in its own words.
    const ports = ({ services }: typeof kit.system) => [services.gateway, services.s3].map((each) => each.ready?.port);
    expect(ports(kit.system)).toEqual(ports(first.kit.system));
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}, 300_000);
