import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { desktop, phone, replayPerTest, settled } from "./fixture.ts";
import {
  asked,
  asks,
  choicesAsked,
  editAsks,
  idle,
  planAsked,
  resolved,
  running,
  text,
  toolResult,
  use,
  user,
} from "./recorded.ts";

const it = replayPerTest();
const { open, append, live } = it;
const id = it.sessionId;

const card = (page: Page) => page.locator("[data-question=open]");
const over = (page: Page) => page.locator("[data-question=over]");
const sent = () =>
  it.server.requests
    .filter(({ method }) => method === "POST")
    .map(({ body }) => (body as { events: { type: string }[] }).events[0])
    .filter((event) => event?.type === "user.tool_confirmation");
const focused = (page: Page) => page.evaluate(() => document.activeElement?.getAttribute("data-testid"));

test("the card shows what would run and why; the answer is sent once and its outcome stays", async () => {
  append(user("go"), running, use("t1", "Bash", { command: "git push origin fix/upload" }), asks("t1"), asked("t1"));
  const page = await open();
  await live(page);
  const words = (await card(page).textContent()) ?? "";
  for (const part of [
    "Claude wants to run a command",
    "git push origin fix/upload",
    "not among those",
    "Push the branch",
  ])
    expect(words).toContain(part);
  expect(await page.locator('[data-tool="Bash"]').getAttribute("data-state")).toBe("asking");
  expect(await page.getByTestId("state").textContent()).toContain("Waits for you");
  await page.getByTestId("session-state").first().getByText("Needs your answer").waitFor();
  expect(await page.title()).toContain("Answer needed");
  await page.getByTestId("announcer-asks").getByText("Claude waits for your answer: Claude wants").waitFor();
  await page.getByTestId("allow-always").getByText("Bash(git push:*)").waitFor();
  await page.getByTestId("allow-always").dblclick();
  await page.getByTestId("answer-state").getByText("Sending your answer…").waitFor();
  expect(sent()).toEqual([
    { type: "user.tool_confirmation", tool_use_id: "t1", result: "allow", holdfast: { remember: "s1" } },
  ]);
  append(resolved("t1", "allowed", { rule: "Bash(git push:*)", answered_by: "a browser" }), running);
  await over(page).getByText("Allowed, from now on always: Bash(git push:*) · a browser").waitFor();
  expect(await card(page).count()).toBe(0);
  expect(await page.getByTestId("announcer-asks").textContent()).toBe("");
  append(toolResult("t1", "pushed"));
  await page.locator('[data-tool="Bash"][data-state="ok"]').waitFor();
});

test("the keyboard alone: Alt+P goes there, letters answer, Enter does not, the focus goes back", async () => {
  append(user("go"), running, use("t1", "Bash", { command: "rm x" }), asks("t1"), asked("t1"));
  const page = await open();
  await live(page);
  await page.getByTestId("composer").fill("I type y and n here");
  await page.keyboard.type("y");
  expect(sent()).toEqual([]);
  await page.keyboard.press("Alt+p");
  expect(await card(page).evaluate((el) => el === document.activeElement)).toBe(true);
  await page.keyboard.press("Enter");
  expect(sent()).toEqual([]);
  await page.keyboard.press("Tab");
  while ((await focused(page)) !== "deny-message") await page.keyboard.press("Tab");
  await page.keyboard.type("not yet, run the tests first");
  expect(sent()).toEqual([]);
  await page.keyboard.press("Alt+p");
  await expect.poll(() => page.getByTestId("deny").isEnabled()).toBe(true);
  await page.keyboard.press("n");
  await expect.poll(sent).toHaveLength(1);
  expect(sent()[0]).toMatchObject({ result: "deny", deny_message: "not yet, run the tests first" });
  expect(await focused(page)).toBe("composer");
  append(resolved("t1", "denied", { message: "not yet, run the tests first" }), running);
  await over(page).getByText("not yet, run the tests first").waitFor();
});

test("deny and stop; a refused answer is said and can be given again; a late one says that it was late", async () => {
  append(user("go"), running, use("t1", "Bash", { command: "rm x" }), asks("t1"), asked("t1"));
  const page = await open();
  await live(page);
  it.server.failSends = [400];
  await page.getByTestId("deny-stop").click();
  await page.getByTestId("answer-state").getByText("Your answer was not taken.").waitFor();
  it.server.answeredElsewhere.add("t1");
  await page.getByTestId("deny-stop").click();
  await page.getByTestId("answer-state").getByText("Answered elsewhere").waitFor();
  expect(sent().at(-1)).toMatchObject({ result: "deny", holdfast: { stop: true } });
  expect(await page.getByTestId("allow").isDisabled()).toBe(true);
  append(resolved("t1", "denied", { stopped: true, answered_by: "key phone" }), idle("stopped"));
  await over(page).getByText("Denied, and the turn stopped · key phone").waitFor();
});

test("an answer whose reply was lost is sent again under the same key", async () => {
  append(user("go"), running, use("t1", "Bash", { command: "rm x" }), asks("t1"), asked("t1"));
  const page = await open();
  await live(page);
  it.server.failSends = [0];
  await page.getByTestId("allow").click();
  await expect.poll(() => sent().length).toBe(2);
  const keys = it.server.requests.filter(({ method }) => method === "POST").map(({ key }) => key);
  expect(new Set(keys).size).toBe(1);
});

test("an edit is shown as the change it is, with every rule that could be stored", async () => {
  append(user("go"), running, use("t1", "Edit", {}), editAsks("t1"), asked("t1"));
  const page = await open();
  await live(page);
  const signs = await card(page)
    .locator("[data-sign]")
    .evaluateAll((all) => all.map((el) => el.textContent));
  expect(signs).toEqual([
    " const parts = await list(key)",
    "-if (parts.length) complete()",
    "+await flush()",
    "+if (parts.length === want) complete()",
    " return parts",
  ]);
  expect(await card(page).textContent()).toContain("/etc/hosts");
  expect(await page.getByTestId("allow-always").allInnerTexts()).toEqual([
    "Accept all edits in this session",
    "Always allow Edit(/mnt/workspace/src/**)",
  ]);
});

test("in plan mode a change can only be denied", async () => {
  append(
    user("go"),
    running,
    use("t1", "Write", {}),
    asks("t1", { tool_name: "Write", can_allow: false }),
    asked("t1"),
  );
  const page = await open();
  await live(page);
  await card(page).getByText("can only be denied").waitFor();
  expect(await page.getByTestId("allow").count()).toBe(0);
});

test("questions with choices: one, several, other words; what is filled in survives scrolling away", async () => {
  for (let n = 0; n < 60; n++) append(text(`a long talk, line ${n}\n\nand more of it`));
  append(user("go"), running, use("t1", "AskUserQuestion", { questions: [] }), choicesAsked("t1"), asked("t1"));
  const page = await open({ viewport: { width: 1280, height: 1_200 } });
  await live(page);
  expect(await page.locator('[data-tool="AskUserQuestion"]').count()).toBe(0);
  const answer = page.getByTestId("answer");
  await settled(page);
  expect(await answer.isDisabled()).toBe(true);
  await card(page).getByLabel("PostgreSQL").check();
  await card(page).getByText("1 of 2 still to answer").waitFor();
  await card(page).getByLabel("Unit").check();
  await card(page).getByLabel("Load").check();
  await page.getByTestId("other").nth(1).check();
  expect(await answer.isDisabled()).toBe(true);
  await page.getByTestId("other-text").fill("  with a slow disk ");
  await page.getByTestId("transcript").focus();
  await page.keyboard.press("Home");
  await settled(page);
  await page.getByTestId("jump").getByText("Claude waits for your answer").click();
  expect(await card(page).evaluate((el) => el === document.activeElement)).toBe(true);
  await answer.click();
  await expect.poll(sent).toHaveLength(1);
  const answers = {
    "Which database should the service use?": "PostgreSQL",
    "What should be tested?": ["Unit", "Load", "with a slow disk"],
  };
  expect(sent()[0]).toMatchObject({ result: "allow", holdfast: { answers } });
  const told = { ...answers, "What should be tested?": "Unit, Load, with a slow disk" };
  append(resolved("t1", "allowed", { answers: told }), running);
  await over(page).getByText("Unit, Load, with a slow disk").waitFor();
});

test("a form that is taller than the window stays where it is filled in, and the answer goes on to the end", async () => {
  append(user("go"), running, choicesAsked("t1"), asked("t1"));
  const page = await open({ viewport: { width: 1000, height: 420 } });
  await live(page);
  await expect.poll(() => card(page).getByLabel("SQLite").isEnabled()).toBe(true);
  await page.keyboard.press("Alt+p");
  await page.keyboard.press("Tab");
  await settled(page);
  const top = () =>
    card(page)
      .getByLabel("SQLite")
      .evaluate((el) => Math.round(el.getBoundingClientRect().top));
  const before = await top();
  await page.keyboard.press("Space");
  await page.getByText("db = open").waitFor();
  await settled(page);
  expect(Math.abs((await top()) - before)).toBeLessThanOrEqual(1);
  expect(await page.getByTestId("jump").count()).toBe(0);
  await page.keyboard.press("n");
  await expect.poll(sent).toHaveLength(1);
  append(resolved("t1", "denied"), running, text("and on"));
  await expect.poll(() => page.getByTestId("transcript").getAttribute("data-following")).toBe("true");
});

test("a plan is rendered, and approved, approved with edits, or sent back with words", async () => {
  append(user("go"), running, use("t1", "ExitPlanMode", {}), planAsked("t1"), asked("t1"));
  const page = await open();
  await live(page);
  await page.getByTestId("plan").locator("strong", { hasText: "before" }).waitFor();
  expect(await page.getByTestId("plan").locator("table").count()).toBe(1);
  await page.getByTestId("deny-message").fill("smaller steps");
  await page.getByTestId("keep-planning").click();
  await expect.poll(sent).toHaveLength(1);
  append(
    resolved("t1", "denied", { message: "smaller steps" }),
    running,
    use("t2", "ExitPlanMode", {}),
    planAsked("t2"),
  );
  await over(page).getByText("Keep planning").waitFor();
  await settled(page);
  await page.getByTestId("approve-edits").click();
  await expect.poll(sent).toHaveLength(2);
  expect(sent()).toMatchObject([
    { tool_use_id: "t1", result: "deny", deny_message: "smaller steps" },
    { tool_use_id: "t2", result: "allow", holdfast: { mode: "acceptEdits" } },
  ]);
  append(resolved("t2", "allowed", { mode: "acceptEdits" }), running);
  await over(page).getByText("Plan approved, edits accepted").waitFor();
  await over(page).nth(1).getByRole("button", { name: "Show the plan" }).click();
  await page.getByTestId("plan").or(over(page).nth(1).locator("table")).first().waitFor();
});

test.each([
  ["desktop", desktop],
  ["phone", phone],
])("an expired question says so on %s, as after a restart", async (_name, options) => {
  append(user("go"), running, use("t1", "Bash", { command: "rm x" }), asks("t1"), asked("t1"));
  append(resolved("t1", "expired", { message: "The sandbox ended before an answer came." }), idle("interrupted"));
  const page = await open(options);
  await over(page).getByText("Expired without an answer: Claude wants to run a command").waitFor();
  await over(page).getByText("The sandbox ended before an answer came.").waitFor();
  expect(await card(page).count()).toBe(0);
  it.server.append(id, text("goes on"));
});
