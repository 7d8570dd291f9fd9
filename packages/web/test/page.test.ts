import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { desktop, phone, replayPerTest } from "./fixture.ts";
import {
  asked,
  fullTurn,
  idle,
  initialized,
  notice,
  retry,
  running,
  sessionError,
  started,
  step,
  text,
  toolResult,
  turnResult,
  use,
  user,
} from "./recorded.ts";
import { delta, start } from "./replay-server.ts";

const it = replayPerTest();
const { open, append, live } = it;
const id = it.sessionId;

const kind = (page: Page, name: string) => page.locator(`[data-kind="${name}"]`);

test("a recorded turn shows every kind of row, and the start of Claude once", async () => {
  append(...fullTurn.slice(0, 8), initialized(false), ...fullTurn.slice(8));
  const page = await open({ viewport: { width: 1280, height: 4_000 } });
  await kind(page, "result").waitFor();
  expect(await kind(page, "init").allInnerTexts()).toHaveLength(1);
  expect(await kind(page, "init").textContent()).toMatch(
    /^🚀 Claude initialized….*claude-opus-5-5.*2\.1\.330.*\/mnt\/workspace/,
  );
  expect(await kind(page, "result").textContent()).toContain("Done in 12.3 s · $0.0123 · 3 turns");
  const tools = await kind(page, "tool").evaluateAll((all) =>
    all.map((el) => `${el.getAttribute("data-state")} ${el.getAttribute("data-tool")}`),
  );
  expect(tools).toEqual(["error Bash", "ok Read", "ok TodoWrite", "ok Edit"]);
  expect(await page.locator('[data-tool="Read"]').textContent()).toContain("Show 190 more");
  expect(await page.locator('[data-tool="Bash"]').textContent()).toContain("❌");
  expect(await page.locator('[data-tool="Edit"]').textContent()).toContain("✓");
  expect(await page.locator('[data-tool="Edit"] [data-sign="+"]').count()).toBe(2);
  expect(await page.getByTestId("todos").locator("li").count()).toBe(3);
  expect(await kind(page, "steps").first().textContent()).toContain("Ready in 4.2 s");
  expect(await kind(page, "text").nth(1).textContent()).toContain("<b>raw</b>");
  expect(await page.locator('a[href^="javascript"]').count()).toBe(0);
  expect(await page.getByTestId("cost").textContent()).toBe("$0.4321");
});

test.each(["light", "dark"] as const)(
  "blocks have their colours in the %s theme, and keep and break their text",
  async (theme) => {
    append(user("go"), running, use("t1", "Bash", { command: "a" }), use("t2", "Bash", { command: "b" }));
    append(toolResult("t2", "fine"), use("t3", "Bash", { command: "c" }), toolResult("t3", "bad", { error: true }));
    const page = await open({ ...desktop, colorScheme: theme });
    await page.locator('[data-kind="tool"][data-state="error"]').waitFor();
    const want = {
      light: {
        running: "rgb(234, 243, 255) rgb(11, 74, 158)",
        ok: "rgb(233, 247, 238) rgb(17, 96, 47)",
        error: "rgb(253, 236, 236) rgb(160, 17, 31)",
      },
      dark: {
        running: "rgb(16, 35, 63) rgb(140, 194, 255)",
        ok: "rgb(15, 42, 26) rgb(126, 226, 160)",
        error: "rgb(53, 21, 26) rgb(255, 163, 163)",
      },
    }[theme];
    for (const [state, colours] of Object.entries(want)) {
      const got = await page.locator(`[data-kind="tool"][data-state="${state}"]`).evaluate((el) => {
        const head = el.querySelector("button");
        const style = getComputedStyle(el);
        return [
          `${style.backgroundColor} ${head ? getComputedStyle(head).color : ""}`,
          `${style.whiteSpace} ${style.wordBreak}`,
        ];
      });
      expect(got).toEqual([colours, "pre-wrap break-word"]);
    }
    const output = page.locator('[data-kind="tool"] pre').first();
    expect(await output.evaluate((el) => `${getComputedStyle(el).whiteSpace} ${getComputedStyle(el).wordBreak}`)).toBe(
      "pre-wrap break-word",
    );
  },
);

test("the theme that was chosen overrides the system's and stays", async () => {
  const page = await open({ ...desktop, colorScheme: "light" });
  await page.getByTestId("settings").click();
  await page.getByLabel("Dark").check();
  const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  expect(await background()).toBe("rgb(15, 18, 22)");
  await page.reload();
  expect(await background()).toBe("rgb(15, 18, 22)");
});

test.each([320, 390])("nothing is wider than a page of %d px, whatever its words are", async (width) => {
  const word = "x".repeat(500);
  append(user(word), running, text(`${word} \`${word}\`\n\n- ${word}\n\n# ${word}\n\n\`\`\`\n${word}\n\`\`\``));
  append(use("t1", "Bash", { command: word }), toolResult("t1", word), use("t2", word, { a: word }));
  append(step("s", "image", "failed", word, { detail: word }), sessionError, ...fullTurn.slice(-4));
  const page = await open({ ...phone, viewport: { width, height: 9_000 } });
  await kind(page, "result").waitFor();
  const wide = await page.evaluate(() => {
    const edge = document.documentElement.clientWidth;
    const scrolls = (el: Element | null): boolean =>
      el !== null && (["auto", "scroll"].includes(getComputedStyle(el).overflowX) || scrolls(el.parentElement));
    return [...document.querySelectorAll("body *")]
      .filter(
        (el) =>
          el.getBoundingClientRect().right > edge + 0.5 && !scrolls(el.closest("[data-row] *")?.parentElement ?? null),
      )
      .map((el) => el.outerHTML.slice(0, 120));
  });
  const scroller = page.getByTestId("transcript");
  expect(await scroller.evaluate((el) => el.scrollWidth - el.clientWidth)).toBe(0);
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBe(0);
  expect(wide.filter((html) => !/<(pre|code)|chunk/.test(html))).toEqual([]);
});

test("a message is sent, the typing indicator shows and goes with the first word", async () => {
  const page = await open();
  await live(page);
  await page.getByTestId("composer").fill("say hello");
  await page.keyboard.press("Enter");
  await kind(page, "user").getByText("say hello").waitFor();
  await page.getByTestId("typing").waitFor();
  expect(it.server.requests.filter((request) => request.method === "POST")).toHaveLength(1);
  expect(it.server.requests.find((request) => request.method === "POST")?.key).toMatch(/^[0-9a-f-]{36}$/);
  append(running);
  await page.getByTestId("stop").waitFor();
  await page.getByTestId("typing").waitFor();
  it.server.draft(id, start("d1"));
  it.server.draft(id, delta("d1", "Hel"));
  await kind(page, "text").getByText("Hel").waitFor();
  expect(await page.getByTestId("typing").count()).toBe(0);
  it.server.draft(id, delta("d1", "lo **wor"));
  it.server.append(id, text("Hello **world**", "d1"));
  await kind(page, "text").locator("strong", { hasText: "world" }).waitFor();
  expect(await kind(page, "text").count()).toBe(1);
  expect(await kind(page, "user").count()).toBe(1);
  append(turnResult(), idle());
  await page.getByTestId("send").waitFor();
  expect(await page.getByTestId("stop").count()).toBe(0);
});

test("the typing indicator goes at an error, which says what to do", async () => {
  append(user("go"), running);
  const page = await open();
  await page.getByTestId("typing").waitFor();
  append(sessionError, idle("failed"));
  await kind(page, "error").waitFor();
  expect(await page.getByTestId("typing").count()).toBe(0);
  const words = (await kind(page, "error").textContent()) ?? "";
  for (const part of [
    "could not be made writable",
    "What to do: Send the message again",
    "Exit code 3",
    "Operation not permitted",
  ])
    expect(words).toContain(part);
});

test("a message whose answer was lost is sent again with the same key, and shown once", async () => {
  it.server.failSends = [0, 503];
  const page = await open();
  await live(page);
  await page.getByTestId("composer").fill("only once");
  await page.keyboard.press("Enter");
  await page.locator('[data-kind="user"][data-state="sending"]').waitFor();
  await page.locator('[data-kind="user"]:not([data-state])').waitFor();
  const keys = it.server.requests.filter((request) => request.method === "POST").map((request) => request.key);
  expect(keys).toHaveLength(3);
  expect(new Set(keys).size).toBe(1);
  expect(await kind(page, "user").count()).toBe(1);
});

test("a message that is refused stays, with the reason and a way on", async () => {
  it.server.failSends = [400];
  const page = await open();
  await page.getByTestId("composer").fill("refused");
  await page.keyboard.press("Enter");
  const failed = page.locator('[data-kind="user"][data-state="failed"]');
  await failed.getByText("No sandbox could be started").waitFor();
  await page.reload();
  await failed.getByRole("button", { name: "Send again" }).click();
  await page.locator('[data-kind="user"]:not([data-state])').waitFor();
});

test("a reload in the middle of a turn loses nothing", async () => {
  append(user("go"), running, initialized(true), use("t1", "Bash", { command: "sleep 5" }));
  const page = await open();
  await live(page);
  it.server.draft(id, start("d1"));
  it.server.draft(id, delta("d1", "The first half, "));
  await kind(page, "text").getByText("The first half,").waitFor();
  await page.getByTestId("composer").fill("unsent words");
  await page.reload();
  await kind(page, "text").getByText("The first half,").waitFor();
  expect(await kind(page, "init").count()).toBe(1);
  expect(await page.getByTestId("composer").inputValue()).toBe("unsent words");
  it.server.draft(id, delta("d1", "the second half."));
  await kind(page, "text").getByText("The first half, the second half.").waitFor();
  it.server.append(id, text("The first half, the second half.", "d1"));
  append(toolResult("t1", "done"));
  await page.locator('[data-kind="tool"][data-state="ok"]').waitFor();
  expect(await kind(page, "text").count()).toBe(1);
});

test("a cut connection is said at once, nothing is cleared, and what was missed comes", async () => {
  append(user("go"), running, text("before the cut"));
  const page = await open();
  await live(page);
  it.server.draft(id, start("d1"));
  it.server.draft(id, delta("d1", "half a sen"));
  await kind(page, "text").getByText("half a sen").waitFor();
  it.server.online = false;
  it.server.cutStreams();
  await page.getByText("Reconnecting…").waitFor({ timeout: 500 });
  expect(await kind(page, "text").allInnerTexts()).toEqual(["before the cut", "half a sen"]);
  it.server.append(id, text("half a sentence, whole now", "d1"));
  append(text("after the cut"));
  it.server.online = true;
  await kind(page, "text").getByText("after the cut").waitFor();
  expect(await kind(page, "text").allInnerTexts()).toEqual([
    "before the cut",
    "half a sentence, whole now",
    "after the cut",
  ]);
  await live(page);
  expect(await page.getByText("Reconnecting…").count()).toBe(0);
});

test("a hole in the stream is filled, and junk in it does no harm", async () => {
  append(user("one"), running);
  const page = await open();
  await live(page);
  it.server.append(id, text("lost on the way"), { silent: true });
  it.server.raw(id, "event: message\ndata: not json\n\n");
  it.server.raw(id, 'event: message\nid: 99\ndata: {"type":"x","session_id":"sesn_a"}\n\n');
  append(text("came through"));
  await kind(page, "text").getByText("came through").waitFor();
  expect(await kind(page, "text").allInnerTexts()).toEqual(["lost on the way", "came through"]);
});

test("a log that was put back to an older copy is read anew", async () => {
  append(user("one"), running, text("will be gone"), text("will be gone too"));
  const page = await open();
  await live(page);
  it.server.sessions.get(id)?.events.splice(2);
  append(text("written after the restore"));
  it.server.sessions.get(id)?.events.splice(3);
  it.server.cutStreams();
  await kind(page, "text").getByText("written after the restore").waitFor();
  append(text("and on"));
  await kind(page, "text").getByText("and on").waitFor();
  expect(await kind(page, "text").allInnerTexts()).toEqual(["written after the restore", "and on"]);
});

test("what happens beside the answers is told: retries, silence, compaction, Claude going on by itself, a cut", async () => {
  append(user("go", "m1"), running, started("m1"));
  append(retry(60_000), notice("stalled", "The model has said nothing for 2 minutes."));
  append({ type: "agent.thread_context_compacted" }, notice("compact_boundary", "Compacted from 90000 to 8000 tokens"));
  append(text("done"), turnResult(), idle());
  append(notice("task_notification", "Background task finished: npm test"), running, text("The tests passed."));
  const page = await open({ viewport: { width: 1280, height: 2_000 } });
  await page
    .getByTestId("countdown")
    .getByText(/next try in \d+ s/)
    .waitFor();
  await kind(page, "notice").getByText("The model has said nothing for 2 minutes.").waitFor();
  expect(await kind(page, "divider").allTextContents()).toEqual(["Compacted from 90000 to 8000 tokens"]);
  const own = kind(page, "notice").getByText("Claude goes on by itself");
  await own.waitFor();
  expect(await kind(page, "notice").getByText("Claude goes on by itself").count()).toBe(1);
  append(idle("interrupted"));
  await kind(page, "result").getByText("Cut off before its end. Everything shown is kept").waitFor();
});

test("the session's menu has what Claude Code wrote, clipped and untouched", async () => {
  const page = await open();
  await live(page);
  await page.getByTestId("session-menu").click();
  expect(await page.getByTestId("raw").getAttribute("href")).toBe(`/v1/sessions/${id}/raw`);
  expect(await page.getByTestId("raw-full").getAttribute("href")).toBe(`/v1/sessions/${id}/raw?full=1`);
  await page.keyboard.press("Escape");
  expect(await page.getByTestId("raw").isVisible()).toBe(false);
});

test("an unknown event is shown folded", async () => {
  it.server.append(id, { type: "agent.hologram", id: "h1", beam: "blue" } as never);
  it.server.append(id, { type: "agent.message", id: "h2", content: [{ type: "text", text: null }] } as never);
  append(text("still here"));
  const page = await open();
  await kind(page, "text").getByText("still here").waitFor();
  await kind(page, "other").getByRole("button", { name: "agent.hologram" }).click();
  await page.getByText('"beam": "blue"').waitFor();
});

test("the scripted model is announced until a key is set, which is never shown again", async () => {
  const page = await open();
  await page.getByTestId("banner-scripted").getByText("Scripted demo, not Claude").waitFor();
  await page.getByTestId("add-key").click();
  const field = page.getByTestId("credential-input");
  expect(await field.getAttribute("type")).toBe("password");
  await field.fill("wrong");
  await page.getByTestId("credential-save").click();
  await page.getByText("It begins with sk-ant-", { exact: false }).waitFor();
  await field.fill("sk-ant-api03-secret-9876");
  await page.getByTestId("credential-save").click();
  await page.getByTestId("credential").getByText("ending in 9876").waitFor();
  expect(await field.inputValue()).toBe("");
  expect(await page.getByTestId("banner-scripted").count()).toBe(0);
  expect(
    await page.evaluate(
      () => document.documentElement.outerHTML + JSON.stringify({ ...localStorage, ...sessionStorage }),
    ),
  ).not.toContain("secret");
  await page.getByTestId("credential-remove").click();
  await page.getByTestId("banner-scripted").waitFor();
});

test("storage that is off and an image that is being built are said", async () => {
  it.server.status.storage = { state: "off", bucket: null, key_prefix: null, reason: "no bucket named agent-docs" };
  it.server.status.image = { state: "building", detail: "Step 3: apt-get install git" };
  const page = await open();
  await page.getByTestId("storage-off").getByText("S3 not configured: no bucket named agent-docs").waitFor();
  await page.getByTestId("banner-image").getByText("Step 3: apt-get install git").waitFor();
});

test("a status that cannot be read is said, and read again", async () => {
  it.server.statusFails = true;
  const page = await open();
  const banner = page.getByTestId("banner-status");
  await banner.getByText("The model gateway does not answer. Look at the output of").waitFor();
  it.server.statusFails = false;
  await banner.getByRole("button").click();
  await page.getByTestId("banner-scripted").waitFor();
});

test("without a login the page says how to log in, and takes an account key", async () => {
  it.server.locked = true;
  const page = await open(desktop, "/");
  await page.getByTestId("login").getByText("script/start").waitFor();
  await page.getByTestId("login-key").fill("key_bad");
  await page.getByTestId("login-submit").click();
  await page.getByText("This key is not valid").waitFor();
  await page.getByTestId("login-key").fill("key_right");
  await page.getByTestId("login-submit").click();
  await page.getByTestId("session-item").waitFor();
});

test("the list shows live what every session does, over one connection", async () => {
  it.server.addSession("sesn_b", "Other");
  it.server.addSession("sesn_c", "Third").session.holdfast.needs_answer = true;
  it.server.append("sesn_b", user("go"), { silent: true });
  const page = await open();
  await live(page);
  const state = (at: number) => page.getByTestId("session-item").nth(at).locator("[data-testid=session-state]");
  await state(2).getByText("Needs your answer").waitFor();
  await state(1).getByText("Idle").waitFor();
  it.server.append("sesn_b", running);
  await state(1).getByText("Working").waitFor();
  it.server.append("sesn_b", asked("t1"));
  await state(1).getByText("Needs your answer").waitFor();
  it.server.append("sesn_b", { type: "holdfast.permission_resolved", tool_use_id: "t1", outcome: "allowed" });
  await state(1).getByText("Working").waitFor();
  it.server.append("sesn_b", { type: "session.updated", title: "Other by another name" });
  await page.getByText("Other by another name").waitFor();
  // What happens while the connection is cut is made up for.
  it.server.online = false;
  it.server.cutStreams();
  it.server.append("sesn_b", idle());
  it.server.append("sesn_c", running);
  it.server.online = true;
  await state(1).getByText("Idle").waitFor();
  await state(2).getByText("Working").waitFor();
  // Another session is opened: still one connection, and the one that was left goes on being followed.
  await page.getByTestId("session-item").nth(1).click();
  await page.getByRole("heading", { name: "Other by another name" }).waitFor();
  await live(page);
  it.server.draft("sesn_b", start("d1"));
  it.server.draft("sesn_b", delta("d1", "live text of the other"));
  await kind(page, "text").getByText("live text of the other").waitFor();
  append(running);
  await state(0).getByText("Working").waitFor();
  await expect.poll(() => it.server.streamCount).toBe(1);
  it.server.append("sesn_c", { type: "session.deleted" });
  await expect.poll(() => page.getByTestId("session-item").count()).toBe(2);
});

test("the permission mode shows, can be changed, and follows what Claude does", async () => {
  const page = await open();
  await live(page);
  const mode = page.getByTestId("permission-mode");
  expect(await mode.inputValue()).toBe("bypassPermissions");
  await mode.selectOption("acceptEdits");
  await expect
    .poll(() => it.server.requests.filter(({ method, path }) => method === "POST" && path === "/v1/sessions/sesn_a"))
    .toMatchObject([{ body: { holdfast: { settings: { permission_mode: "acceptEdits" } } } }]);
  const settings = { permission_mode: "plan", model: null, effort: null };
  it.server.append("sesn_a", { type: "session.updated", holdfast: { settings } });
  await expect.poll(() => mode.inputValue()).toBe("plan");
});

test("the first message makes a session", async () => {
  const page = await open();
  await page.getByTestId("new-session").click();
  await page.getByTestId("welcome").waitFor();
  await page.getByTestId("composer").fill("a new start");
  await page.getByTestId("send").click();
  await kind(page, "user").getByText("a new start").waitFor();
  expect(page.url()).toContain("#/sessions/sesn_new1");
  expect(await page.getByTestId("session-item").count()).toBe(2);
  await page.getByRole("heading", { name: "a new start" }).waitFor();
});

test("a session that does not exist is said in words", async () => {
  const page = await open(desktop, "/#/sessions/sesn_none");
  await page.getByText("This account has no session with this id").waitFor();
});

test("the initial files are small and load nothing from elsewhere", async () => {
  const assets = join(it.dist, "assets");
  const html = await readFile(join(it.dist, "index.html"), "utf8");
  let initial = 0;
  let later = 0;
  for (const name of await readdir(assets)) {
    const size = gzipSync(await readFile(join(assets, name))).length;
    if (html.includes(name)) initial += size;
    else later += size;
  }
  expect(initial).toBeLessThanOrEqual(131_000);
  // The stream's worker, and what takes its place where there is none.
  expect(later).toBeLessThanOrEqual(6_000);
  expect(html).not.toMatch(/https?:\/\//);
  expect(html).not.toMatch(/<script>|<style|style=/);
});
