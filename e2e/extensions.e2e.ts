import { createTestKit, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

let kit: TestKit;
beforeAll(async () => {
  kit = await createTestKit({ saves: false });
});
afterAll(() => kit?.[Symbol.asyncDispose]());

interface Frame {
  type: string;
  text?: string;
  code?: number;
}

const post = (path: string, body: object, init: RequestInit = {}) =>
  kit.fetch(path, { method: "POST", body: JSON.stringify(body), ...init });

async function mySandbox(): Promise<{ id: string; provider_id: string; workspace: string; state: string }> {
  const { data } = (await (await kit.fetch("/v1/sandboxes")).json()) as {
    data: Awaited<ReturnType<typeof mySandbox>>[];
  };
  const found = data[0];
  if (found === undefined) throw new Error("no sandbox");
  return found;
}

async function* frames(response: Response): AsyncGenerator<Frame> {
  let text = "";
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    for (let at = text.indexOf("\n\n"); at !== -1; at = text.indexOf("\n\n")) {
      const [event, data] = [/^event: (.*)$/m, /^data: (.*)$/m].map((field) => field.exec(text.slice(0, at))?.[1]);
      text = text.slice(at + 2);
      if (event === "message") yield JSON.parse(data ?? "") as Frame;
    }
  }
}

async function exec(id: string, body: object): Promise<{ out: string; err: string; code: number | undefined }> {
  const response = await post(`/v1/sandboxes/${id}/exec`, body);
  expect(response.status).toBe(200);
  const result = { out: "", err: "", code: undefined as number | undefined };
  for await (const frame of frames(response)) {
    if (frame.type === "stdout") result.out += frame.text;
    if (frame.type === "stderr") result.err += frame.text;
    if (frame.type === "exit") result.code = frame.code;
  }
  return result;
}

describe("a sandbox", () => {
  test("is listed, runs commands as claudeuser or root, keeps their output apart", async () => {
    await kit.turn("Create hello.txt with the text hello");
    const { id, provider_id, state, workspace } = await mySandbox();
    expect({ state, workspace }).toEqual({ state: "running", workspace: "default" });
    const script = "whoami; pwd -P; cat hello.txt; echo problem >&2; exit 3";
    const done = await exec(id, { command: ["sh", "-c", script] });
    expect(done).toMatchObject({ err: "problem\n", code: 3 });
    expect(done.out).toMatch(/^claudeuser\n\/__modal\/volumes\/vo-\w+\nhello/);
    expect((await exec(provider_id, { command: ["id", "-u"], user: "root" })).out).toBe("0\n");
    expect((await exec(id, { command: ["no-such-program"] })).code).toBe(127);
    expect((await exec(id, { command: ["printf", "%s", "ü🚀 'a b' $HOME"] })).out).toBe("ü🚀 'a b' $HOME");
  });

  test("output of some size arrives whole", async () => {
    const { id } = await mySandbox();
    const { out, code } = await exec(id, { command: ["seq", "1", "200000"] });
    expect(code).toBe(0);
    expect(out).toBe(`${Array.from({ length: 200_000 }, (_, i) => i + 1).join("\n")}\n`);
  });

  test("a client that leaves ends what it started, its children too", async () => {
    const { id } = await mySandbox();
    const leave = new AbortController();
    const command = ["sh", "-c", "setsid -f true; sleep 4321 & echo started; sleep 4321"];
    const response = await post(`/v1/sandboxes/${id}/exec`, { command }, { signal: leave.signal });
    const first = await frames(response).next();
    expect(first.value).toMatchObject({ type: "stdout", text: "started\n" });
    expect((await sleepers(id)).length).toBeGreaterThan(0);
    leave.abort();
    await expect.poll(() => sleepers(id), { timeout: 15_000 }).toEqual([]);
  });

  test("a client that leaves while the command starts leaves nothing running", async () => {
    const { id } = await mySandbox();
    for (const afterMs of [1, 5, 10, 20, 40]) {
      const leaving = post(
        `/v1/sandboxes/${id}/exec`,
        { command: ["sleep", "4321"] },
        { signal: AbortSignal.timeout(afterMs) },
      );
      await leaving.then((answer) => answer.text()).catch(() => undefined);
    }
    // Runs behind them all, so that what they began is there or gone by then.
    await exec(id, { command: ["true"] });
    await expect.poll(() => sleepers(id), { timeout: 15_000 }).toEqual([]);
  });

  test("a command that takes too long is killed", async () => {
    const { id } = await mySandbox();
    const { code } = await exec(id, { command: ["sleep", "4321"], timeout_ms: 1000 });
    expect(code).toBe(137);
    expect(await sleepers(id)).toEqual([]);
  });

  test("wrong input, another account", async () => {
    const { id } = await mySandbox();
    const other = await kit.addAccount("other");
    expect((await kit.fetch(`/v1/sandboxes/${id}`, { account: other })).status).toBe(404);
    expect((await post(`/v1/sandboxes/${id}/stop`, {}, { headers: { "x-api-key": other.apiKey } })).status).toBe(404);
    for (const body of [
      {},
      { command: [] },
      { command: "ls" },
      { command: ["ls"], user: "bob" },
      { command: ["\0"] },
    ]) {
      expect((await post(`/v1/sandboxes/${id}/exec`, body)).status, JSON.stringify(body)).toBe(400);
    }
  });

  test("is stopped on demand; the workspace stays", async () => {
    const { id } = await mySandbox();
    expect(await (await post(`/v1/sandboxes/${id}/stop`, {})).json()).toMatchObject({ id, state: "ended" });
    expect((await post(`/v1/sandboxes/${id}/stop`, {})).status).toBe(200);
    const refused = await post(`/v1/sandboxes/${id}/exec`, { command: ["true"] });
    expect(await refused.json()).toMatchObject({ status: 409, code: "sandbox_ended" });
    await kit.turn("List the files");
    const next = await mySandbox();
    expect(next.id).not.toBe(id);
    expect((await exec(next.id, { command: ["cat", "hello.txt"] })).out).toMatch(/^hello/);
  });
});

async function sleepers(id: string): Promise<string[]> {
  const script = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o 'sleep [4]321' || true";
  const { out } = await exec(id, { command: ["sh", "-c", script], user: "root" });
  return out.split("\n").filter((line) => line !== "");
}

describe("a workspace", () => {
  test("is made, renamed, refused while a turn runs, and deleted with its files", async () => {
    const made = await post("/v1/workspaces", { name: "project" });
    expect(made.status).toBe(201);
    const { id } = (await made.json()) as { id: string };
    expect((await post("/v1/workspaces", { name: "project" })).status).toBe(409);
    expect(await (await post(`/v1/workspaces/${id}`, { name: "renamed" })).json()).toMatchObject({ name: "renamed" });
    const metadata = { "holdfast.workspace": "renamed" };
    const { sessionId } = await kit.turn("Create keep.txt with the text keep", { metadata });

    const busy = kit.turn("count slowly to 20", { sessionId });
    const remove = () => kit.fetch(`/v1/workspaces/${id}`, { method: "DELETE" });
    await expect.poll(async () => (await kit.account.client.beta.sessions.retrieve(sessionId)).status).toBe("running");
    expect(await (await remove()).json()).toMatchObject({ status: 409, code: "workspace_busy" });
    await kit.account.client.beta.sessions.events.send(sessionId, { events: [{ type: "user.interrupt" }] });
    await busy;

    await expect.poll(async () => (await remove()).status, { timeout: 20_000 }).toBe(200);
    expect((await remove()).status).toBe(404);
    expect((await kit.log(sessionId)).at(-1)?.type).toBe("session.status_terminated");
    const ended = await kit.account.client.beta.sessions.retrieve(sessionId);
    expect(ended).toMatchObject({ status: "terminated", holdfast: { workspace: "renamed" } });
    const again = await post(`/v1/sessions/${sessionId}/events`, {
      events: [{ type: "user.message", content: [{ type: "text", text: "anyone?" }] }],
    });
    expect(again.status).toBe(409);
    const { data } = (await (await kit.fetch("/v1/sandboxes")).json()) as { data: { workspace_id: string }[] };
    expect(data.filter(({ workspace_id }) => workspace_id === id)).toEqual([]);

    // The same name again is another, empty tree.
    await kit.turn("Create other.txt with the text other", { metadata });
    const list = (await (await kit.fetch("/v1/sandboxes")).json()) as { data: { id: string; workspace: string }[] };
    const fresh = list.data.find(({ workspace }) => workspace === "renamed");
    expect((await exec(fresh?.id ?? "", { command: ["ls"] })).out).toBe("other.txt\n");
  });

  test("the default one stays", async () => {
    const { data } = (await (await kit.fetch("/v1/workspaces")).json()) as {
      data: { id: string; is_default: boolean }[];
    };
    const id = data.find(({ is_default }) => is_default)?.id;
    expect(await (await kit.fetch(`/v1/workspaces/${id}`, { method: "DELETE" })).json()).toMatchObject({
      code: "workspace_is_default",
    });
  });
});
