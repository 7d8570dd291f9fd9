import type { ClaudeContext } from "@holdfast/protocol";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { answer, begin, controlAnswer, result } from "./_claude-lines.ts";
import type { ClaudeScript, Line, LocalClaude } from "./_local-claude.ts";
import { type LocalSession, type LocalSystem, localSystem, request } from "./_local-server.ts";

let it: LocalSystem;
beforeAll(async () => {
  // On a busy machine even a program that answers at once takes its time.
  it = await localSystem({ sandbox: { claudeAnswerMs: 5_000 } });
});
afterAll(() => it?.[Symbol.asyncDispose]());
afterEach(() => expect(it.sandboxes.stage.failures).toEqual([]));

const contextAnswer = (usedTokens: number): Line => ({
  categories: [{ id: "messages", name: "Messages", tokens: usedTokens, color: "inactive", kind: "used" }],
  totalTokens: usedTokens,
  maxTokens: 200_000,
  percentage: 1,
  gridRows: [[{ color: "inactive", categoryName: "Messages" }]],
  model: "claude-local",
  autoCompactThreshold: 167_000,
  isAutoCompactEnabled: true,
});

const secret = "hush-hush-value";
const settingsAnswer: Line = {
  effective: { env: { TOKEN: secret }, outputStyle: "default" },
  sources: [{ source: "projectSettings", settings: { env: { TOKEN: secret }, permissions: { allow: ["Bash(ls)"] } } }],
  applied: { model: "claude-local", effort: "high" },
};

const subtypeOf = (line: Line) => (line.type === "control_request" ? (line.request as Line).subtype : undefined);
const isContextAsk = (line: Line) => subtypeOf(line) === "get_context_usage";
const asks = (claude: LocalClaude) => claude.heard.filter(isContextAsk);
const newest = () => it.sandboxes.stage.started.at(-1) as LocalClaude;

/** Answers messages and what is asked on the side; `usedTokens`: whose answer it is. */
const telling =
  (usedTokens = 100): ClaudeScript =>
  async (claude) => {
    for (;;) {
      const line = await claude.next();
      const subtype = subtypeOf(line);
      if (line.type === "user") answer(claude, line);
      else if (line.type === "end" || line.type === "signal") return await claude.exit(0);
      else if (subtype === "get_context_usage") claude.print(controlAnswer(line, contextAnswer(usedTokens)));
      else if (subtype === "get_settings") claude.print(controlAnswer(line, settingsAnswer));
      else if (subtype === "file_suggestions") {
        const path = `found-${(line.request as { query: string }).query}`;
        claude.print(controlAnswer(line, { suggestions: [{ path }], cwd: "/mnt/workspace" }));
      } else if (subtype !== undefined) claude.print(controlAnswer(line));
    }
  };

/** Answers messages, and what is asked on the side as the test says. */
const answeringAsks =
  (then: (claude: LocalClaude, ask: Line) => void): ClaudeScript =>
  async (claude) => {
    for (;;) {
      const line = await claude.next();
      if (line.type === "user") answer(claude, line);
      else if (isContextAsk(line)) then(claude, line);
      else if (line.type === "end" || line.type === "signal") return await claude.exit(0);
    }
  };

const look = (session: LocalSession, name: string) => session.call("GET", `/v1/sessions/${session.id}/claude/${name}`);
const context = async (session: LocalSession, query = "") => {
  const { status, body } = await look(session, `context${query}`);
  return { status, body: body as unknown as ClaudeContext };
};
/** In Anthropic's error shape, as all below a session. */
const refusal = ({ status, body }: { status: number; body: object }) => {
  const { holdfast, error } = body as { holdfast?: { code: string }; error?: { message: string } };
  return { status, code: holdfast?.code, detail: error?.message };
};

/** A session in which a turn was. */
async function after(script: ClaudeScript): Promise<{ session: LocalSession; claude: LocalClaude }> {
  it.sandboxes.stage.script = script;
  const session = await it.session();
  await session.send("hello");
  await session.idle();
  return { session, claude: newest() };
}

const ended = (session: LocalSession) =>
  session.until(
    "its end",
    () => it.rows("select id from processes where session_id = ? and state <> 'ended'", session.id).length === 0,
  );

describe("a living Claude Code", () => {
  test("says it, in our words, without a turn or an event", async () => {
    const { session } = await after(telling());
    const before = await session.events();
    const { status, body } = await context(session);
    expect(status).toBe(200);
    expect(body).toEqual({
      live: true,
      as_of: expect.stringMatching(/^\d{4}-.*Z$/),
      model: "claude-local",
      used_tokens: 100,
      max_tokens: 200_000,
      percent_used: 1,
      auto_compact: { enabled: true, at_tokens: 167_000 },
      categories: [{ id: "messages", name: "Messages", kind: "used", tokens: 100 }],
      memory_files: [],
      mcp_tools: [],
      agents: [],
      skills: [],
    });
    expect(await session.events()).toEqual(before);
    expect(await session.status()).toBe("idle");
  });

  test("says it in the middle of a turn", async () => {
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      claude.print(controlAnswer(await claude.next(isContextAsk), contextAnswer(7)));
      await claude.next(({ type }) => type === "go");
    };
    const session = await it.session();
    await session.send("work");
    await session.until("its beginning", (events) => events.some(({ type }) => type === "holdfast.initialized"));
    const { body } = await context(session);
    expect([body.live, body.used_tokens, await session.status()]).toEqual([true, 7, "running"]);
    newest().print(result([await newest().hears(({ type }) => type === "user")]));
    await session.idle();
    expect(await session.outcomes()).toEqual(["completed"]);
  });

  test("is asked once by two who ask at once", async () => {
    let answerIt: () => void = () => undefined;
    const { session, claude } = await after(
      answeringAsks((process, ask) => {
        answerIt = () => process.print(controlAnswer(ask, contextAnswer(5)));
      }),
    );
    const both = [context(session), context(session)];
    await claude.hears(isContextAsk);
    // By then the second one has come, too.
    const other = look(session, "plan");
    claude.print(controlAnswer(await claude.hears((line) => subtypeOf(line) === "get_plan"), { exists: false }));
    expect((await other).body).toMatchObject({ live: true, exists: false });
    answerIt();
    const answers = await Promise.all(both);
    expect(answers.map(({ body }) => body.used_tokens)).toEqual([5, 5]);
    expect(asks(claude)).toHaveLength(1);
  });

  test("tells nothing of what lies in env, and nothing of that is kept", async () => {
    const { session } = await after(telling());
    const { body } = await look(session, "settings");
    expect(body).toMatchObject({
      model: "claude-local",
      effort: "high",
      permission_mode: "bypassPermissions",
      output_style: "default",
      permission_rules: [{ behavior: "allow", rule: "Bash(ls)", source: "projectSettings" }],
    });
    await session.send("again");
    await session.idle(2);
    const { path, key } = it.path(session, "raw?full=1");
    const raw = await (await it.server.fetch(path, { key })).text();
    expect(raw).toContain("You said: again");
    expect(JSON.stringify(body) + raw + JSON.stringify(it.rows("select * from claude_state"))).not.toContain(secret);
    expect(raw).not.toContain("claude-state-");
  });

  test("answers each query for files by itself", async () => {
    const { session } = await after(telling());
    const answers = await Promise.all(["a", "b", "a"].map((query) => look(session, `files?query=${query}`)));
    expect(answers.map(({ body }) => (body.files as { path: string }[])[0]?.path)).toEqual([
      "found-a",
      "found-b",
      "found-a",
    ]);
    for (let n = 0; n < 25; n++) await look(session, `files?query=q${n}`);
    expect(it.rows("select * from claude_state where session_id = ?", session.id)).toHaveLength(20);
    expect((await look(session, `files?query=${"x".repeat(257)}`)).status).toBe(400);
    expect((await look(session, "context?query=a")).status).toBe(400);
  });

  test("answers after a restart of the server, and to one that does not hold it", async () => {
    const { session, claude } = await after(telling(42));
    await it.restart();
    const { body } = await context(session);
    expect([body.live, body.used_tokens, asks(claude).length]).toEqual([true, 42, 1]);
    await using other = await it.beside();
    const { path, key } = it.path(session, "claude/context");
    const asked = await request(other, key, { method: "GET", path, body: undefined });
    expect(asked.body).toMatchObject({ live: true, used_tokens: 42 });
    expect(asks(claude)).toHaveLength(2);
  });
});

describe("one that does not answer as it should", () => {
  test("is waited for until a limit, and what it says too late is nobody's", async () => {
    const late: Line[] = [];
    const { session, claude } = await after(answeringAsks((_claude, ask) => late.push(ask)));
    expect(refusal(await context(session))).toMatchObject({ status: 504, code: "claude_did_not_answer" });
    const [ask] = late;
    if (ask !== undefined) claude.print(controlAnswer(ask, contextAnswer(9)));
    await session.send("again");
    await session.idle(2);
    expect(it.rows("select * from claude_state where session_id = ?", session.id)).toEqual([]);
  });

  test("is quoted when it refuses", async () => {
    const { session } = await after(
      answeringAsks((claude, { request_id }) =>
        claude.print({
          type: "control_response",
          response: { subtype: "error", request_id, error: "Unsupported control request subtype" },
        }),
      ),
    );
    expect(refusal(await context(session))).toEqual({
      status: 502,
      code: "claude_answer_refused",
      detail: expect.stringContaining("Unsupported control request subtype"),
    });
  });

  test("is refused when it says something else, or too much", async () => {
    let says: Line = { surprise: true };
    const { session } = await after(answeringAsks((claude, ask) => claude.print(controlAnswer(ask, says))));
    expect(refusal(await context(session))).toMatchObject({ status: 502, code: "claude_answer_refused" });
    const entry = { name: "x".repeat(400), path: "x".repeat(400), tokens: 1 };
    says = { ...contextAnswer(1), memoryFiles: Array.from({ length: 5_000 }, () => entry) };
    expect(refusal(await context(session))).toMatchObject({ status: 502, code: "claude_answer_too_large" });
    says = contextAnswer(3);
    expect((await context(session)).body.used_tokens).toBe(3);
  });

  test("is forgotten when it ends instead: what was known before is given", async () => {
    let ends = false;
    const { session, claude } = await after(
      answeringAsks((process, ask) => {
        if (ends) inExit(process);
        else process.print(controlAnswer(ask, contextAnswer(11)));
      }),
    );
    await context(session);
    ends = true;
    const { status, body } = await context(session);
    expect([status, body.live, body.used_tokens]).toEqual([200, false, 11]);
    expect(claude.isGone).toBe(true);
  });
});

function inExit(claude: LocalClaude): void {
  claude.exit(1).catch(() => undefined);
}

describe("without a living Claude Code", () => {
  test("there is what it said last, and 409 where it said nothing", async () => {
    const { session, claude } = await after(telling(33));
    const { body: first } = await context(session);
    await claude.exit(0);
    await ended(session);
    const started = it.sandboxes.stage.started.length;
    expect((await context(session)).body).toEqual({ ...first, live: false });
    expect(refusal(await look(session, "plan"))).toMatchObject({ status: 409, code: "not_started" });
    expect(it.sandboxes.stage.started).toHaveLength(started);
  });

  test("a session that never ran starts nothing by itself", async () => {
    const session = await it.session();
    const before = [it.sandboxes.stage.started.length, await session.events()];
    expect(refusal(await context(session))).toMatchObject({ status: 409, code: "not_started" });
    expect([it.sandboxes.stage.started.length, await session.events()]).toEqual(before);
  });

  test("?start=true starts one, which takes the first message as well", async () => {
    it.sandboxes.stage.script = telling(55);
    const session = await it.session();
    const both = await Promise.all([context(session, "?start=true"), context(session, "?start=true")]);
    expect(both.map(({ status, body }) => [status, body.live, body.used_tokens])).toEqual([
      [200, true, 55],
      [200, true, 55],
    ]);
    const claude = newest();
    expect([await session.status(), claude.heard.some(({ type }) => type === "user")]).toEqual(["idle", false]);
    expect((await session.events()).some(({ type }) => type === "session.status_running")).toBe(false);
    await session.send("hello");
    await session.idle();
    expect([await session.outcomes(), newest().pid]).toEqual([["completed"], claude.pid]);
  });

  test("a message that comes while one is started has its turn, and the question its answer", async () => {
    it.sandboxes.stage.script = telling(56);
    const session = await it.session();
    const asked = context(session, "?start=true");
    await session.until("the start", (events) => events.some(({ type }) => type === "holdfast.step"));
    await session.send("hello");
    await session.idle();
    const { body } = await asked;
    expect([body, await session.outcomes()]).toMatchObject([{ used_tokens: 56 }, ["completed"]]);
    const started = it.sandboxes.stage.started.filter(({ sessionId }) => sessionId === newest().sessionId);
    expect(started).toHaveLength(1);
  });

  test("one that cannot start says why, and the session goes on", async () => {
    it.sandboxes.stage.script = async (claude) => {
      claude.complain("it will not\n");
      await claude.exit(1);
    };
    const session = await it.session();
    expect(refusal(await context(session, "?start=true"))).toMatchObject({
      status: 503,
      code: "claude_start_failed",
      detail: expect.stringContaining("it will not"),
    });
    expect(await session.status()).toBe("idle");
    it.sandboxes.stage.script = telling();
    expect((await look(session, "settings?start=true")).body.permission_mode).toBe("bypassPermissions");
    await session.send("hello");
    await session.idle();
    expect(await session.outcomes()).toEqual(["completed"]);
  });
});

describe("a sandbox that is long in coming", () => {
  /** The next sandbox is not made before `open` was called. */
  function gate(): { open: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    it.sandboxes.before.create = async () => {
      delete it.sandboxes.before.create;
      await promise;
    };
    return { open: resolve };
  }
  const isStarting = (session: LocalSession) =>
    session.until("its start", (events) => events.some((each) => each.type === "holdfast.step"));

  test("is the session's for a message that comes meanwhile, which can be stopped at once", async () => {
    it.sandboxes.stage.script = telling(61);
    const session = await it.session();
    const { open } = gate();
    const asked = context(session, "?start=true");
    await isStarting(session);
    await session.send("hello");
    await session.until("its turn", (events) => events.some(({ type }) => type === "session.status_running"));
    await session.interrupt();
    await session.idle();
    expect(await session.outcomes()).toEqual(["stopped"]);
    open();
    expect((await asked).body.used_tokens).toBe(61);
    expect(await session.status()).toBe("idle");
  });

  test("is no longer waited for when the session is archived", async () => {
    const session = await it.session();
    const { open } = gate();
    const started = it.sandboxes.stage.started.length;
    const asked = context(session, "?start=true");
    await isStarting(session);
    await session.call("POST", `/v1/sessions/${session.id}/archive`);
    expect(refusal(await asked)).toMatchObject({ status: 409, code: "session_archived" });
    open();
    expect(it.sandboxes.stage.started).toHaveLength(started);
  });

  test("and does not come is said, and the session goes on", async () => {
    it.sandboxes.stage.script = telling();
    const session = await it.session();
    it.sandboxes.before.create = async () => {
      delete it.sandboxes.before.create;
      throw new Error("no room for it");
    };
    expect(refusal(await context(session, "?start=true"))).toMatchObject({
      status: 503,
      code: "sandbox_unavailable",
      detail: expect.stringContaining("no room for it"),
    });
    expect(await session.status()).toBe("idle");
    expect((await context(session, "?start=true")).status).toBe(200);
  });
});

test("one that was started for a question ends as idle, as others do", async () => {
  await using other = await localSystem({ sandbox: { idleProcessMs: 1_000 } } as never);
  other.sandboxes.stage.script = telling(8);
  const session = await other.session();
  const path = `/v1/sessions/${session.id}/claude/context`;
  expect((await session.call("GET", `${path}?start=true`)).body).toMatchObject({ live: true, used_tokens: 8 });
  await (await other.sandboxes.stage.claude(0)).ended();
  const done = () => other.rows("select id from processes where state <> 'ended'").length === 0;
  await session.until("its end", done);
  expect((await session.call("GET", path)).body).toMatchObject({ live: false, used_tokens: 8 });
});

test("one that is being ended is not asked any more", async () => {
  await using other = await localSystem({ sandbox: { idleProcessMs: 500 } } as never);
  other.sandboxes.stage.script = async (claude) => {
    claude.print(controlAnswer(await claude.next(isContextAsk), contextAnswer(12)));
    await claude.next(({ type }) => type === "end");
    // It takes its time, until it is killed.
    await claude.next(({ type }) => type === "never");
  };
  const session = await other.session();
  const path = `/v1/sessions/${session.id}/claude`;
  expect((await session.call("GET", `${path}/context?start=true`)).body).toMatchObject({ live: true });
  const claude = await other.sandboxes.stage.claude(0);
  await claude.hears(({ type }) => type === "end");
  expect((await session.call("GET", `${path}/context`)).body).toMatchObject({ live: false, used_tokens: 12 });
  expect(refusal(await session.call("GET", `${path}/plan`))).toMatchObject({ status: 409, code: "not_started" });
  expect([claude.isGone, asks(claude).length]).toEqual([false, 1]);
});

test("looking breaks no silence: that of the model is said all the same", async () => {
  await using other = await localSystem({ sandbox: { stallNoticeMs: 1_500 } } as never);
  other.sandboxes.stage.script = async (claude) => {
    for (;;) {
      const line = await claude.next();
      if (line.type === "user") begin(claude, line);
      else if (isContextAsk(line)) claude.print(controlAnswer(line, contextAnswer(1)));
    }
  };
  const session = await other.session();
  await session.send("hello");
  await session.until("its beginning", (events) => events.some(({ type }) => type === "holdfast.initialized"));
  const isSaid = async () => (await session.eventsOf("holdfast.notice")).some(({ kind }) => kind === "stalled");
  const looks = { count: 0, until: Date.now() + 15_000 };
  while (!(await isSaid()) && Date.now() < looks.until) {
    expect((await session.call("GET", `/v1/sessions/${session.id}/claude/context`)).status).toBe(200);
    looks.count++;
  }
  expect([await isSaid(), looks.count > 5]).toEqual([true, true]);
});

describe("whose it is", () => {
  test("another account gets 404, also for what is known", async () => {
    const { session } = await after(telling());
    await context(session);
    const { apiKey } = await it.server.account("stranger");
    for (const name of ["claude/context", "claude/context?start=true"]) {
      const { path } = it.path(session, name);
      const asked = await request(it.server, apiKey, { method: "GET", path, body: undefined });
      expect(refusal(asked)).toMatchObject({ status: 404, code: "session_not_found" });
    }
  });

  test("two sessions of one workspace have their own", async () => {
    it.sandboxes.stage.script = telling(1);
    const one = await it.session("shared");
    await context(one, "?start=true");
    it.sandboxes.stage.script = telling(2);
    const two = await it.session("shared");
    expect(refusal(await context(two))).toMatchObject({ code: "not_started" });
    const [first, second] = await Promise.all([context(one), context(two, "?start=true")]);
    expect([first.body.used_tokens, second.body.used_tokens]).toEqual([1, 2]);
  });

  test("an archived one is refused, a deleted one gone with what was known", async () => {
    const { session } = await after(telling());
    await context(session);
    await session.call("POST", `/v1/sessions/${session.id}/archive`);
    for (const query of ["", "?start=true"])
      expect(refusal(await context(session, query))).toMatchObject({ status: 409, code: "session_archived" });
    await session.call("DELETE", `/v1/sessions/${session.id}`);
    expect(refusal(await context(session))).toMatchObject({ status: 404, code: "session_not_found" });
    expect(it.rows("select * from claude_state where session_id = ?", session.id)).toEqual([]);
  });
});
