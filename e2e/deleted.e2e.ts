import { createTestKit, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { canaryWord, filesWith } from "./_canary.ts";

let kit: TestKit;
beforeAll(async () => {
  kit = await createTestKit();
});
afterAll(() => kit?.[Symbol.asyncDispose]());

async function remove(path: string): Promise<void> {
  const response = await kit.fetch(path, { method: "DELETE" });
  expect({ path, status: response.status }).toEqual({ path, status: 200 });
}

/** Of the living sandbox; a disk of its own has them in one file of the host's. The word travels by standard input. */
async function filesInside(word: string): Promise<string> {
  const search = ["grep", "-rlF", "--devices=skip", "-f", "-", "/mnt/state/", "/run/holdfast/"];
  return (await kit.exec(search, { stdin: `${word}\n` })).stdout;
}

test("a deleted session is nowhere any more, while its sandbox lives and when it comes back", async () => {
  const word = canaryWord();
  const { sessionId } = await kit.turn(`run \`echo ${word}\``);
  expect(filesWith(kit, word).some((file) => /server\.sqlite/.test(file))).toBe(true);
  const before = await filesInside(word);
  for (const place of [/^\/mnt\/state\/.*\.jsonl$/m, /\/run\/holdfast\/spool\//]) expect(before).toMatch(place);
  // What the engine keeps of the connection to the guest is there, and says nothing.
  expect(filesWith(kit, '{"type":"sealed"}').some((file) => /^\.\/engine\/runtime\/.*\/execs\//.test(file))).toBe(true);
  await remove(`/v1/sessions/${sessionId}`);
  await expect.poll(() => filesInside(word), { timeout: 60_000 }).toBe("");
  // What a file system of its own has let go of is given back to the disk a little later.
  await expect.poll(() => filesWith(kit, word), { timeout: 60_000 }).toEqual([]);

  const later = canaryWord();
  const second = await kit.turn(`run \`echo ${later}\``);
  await (await kit.sandbox()).terminate();
  await remove(`/v1/sessions/${second.sessionId}`);
  // No sandbox runs that could reach the volume: it is noted, and done when the next one has started.
  await kit.turn("list the files");
  await expect.poll(() => filesWith(kit, later), { timeout: 60_000 }).toEqual([]);
});

test("a deleted workspace's files are nowhere any more, but in the copy that is kept on purpose", async () => {
  const word = canaryWord();
  const metadata = { "holdfast.workspace": "to-be-deleted" };
  const { sessionId } = await kit.turn(`Create a file secret.txt that says ${word}`, { metadata });
  expect(filesWith(kit, word).some((file) => file.startsWith("./engine/volumes/"))).toBe(true);
  const { data } = (await (await kit.fetch("/v1/workspaces")).json()) as { data: { id: string; name: string }[] };
  await remove(`/v1/workspaces/${data.find(({ name }) => name === "to-be-deleted")?.id}`);
  await remove(`/v1/sessions/${sessionId}`);
  const kept = (file: string) => file.startsWith("./s3/buckets/");
  const rest = () => filesWith(kit, word).filter((file) => !kept(file));
  await expect.poll(rest, { timeout: 60_000 }).toEqual([]);
});

test("a deleted account is nowhere any more, while a turn of it runs, and the others go on", async () => {
  const account = await kit.addAccount("leaves");
  const word = canaryWord();
  const { sessionId } = await kit.turn(`Create a file secret.txt that says ${word}`, { account });
  const message = { type: "user.message", content: [{ type: "text", text: "run `tail -f /dev/null`" }] };
  const body = JSON.stringify({ events: [message] });
  await kit.fetch(`/v1/sessions/${sessionId}/events`, { account, method: "POST", body });
  const called = async () => JSON.stringify(await kit.log(sessionId, account)).includes("tail -f");
  await expect.poll(called, { timeout: 30_000 }).toBe(true);
  await kit.turn("list the files");
  const sandbox = await kit.sandbox(account);
  for (const place of [/server\.sqlite/, /^\.\/engine\/volumes\//])
    expect(filesWith(kit, word).some((file) => place.test(file))).toBe(true);

  const login = await fetch(kit.system.loginUrl, { redirect: "manual" });
  const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
  const headers = { cookie, origin: kit.url };
  const answer = await fetch(`${kit.url}/v1/accounts/${account.id}`, { method: "DELETE", headers });
  expect({ status: answer.status, body: await answer.json() }).toMatchObject({ status: 200, body: { pending: [] } });
  const rest = () => filesWith(kit, word).filter((file) => !file.startsWith("./s3/buckets/"));
  await expect.poll(rest, { timeout: 60_000 }).toEqual([]);
  expect(await sandbox.poll()).not.toBeNull();
  expect((await kit.fetch("/v1/sessions", { account })).status).toBe(401);
  const { events } = await kit.turn("list the files");
  expect(JSON.stringify(events.at(-1))).toContain("completed");
});
