import { createTestKit, type TestKit } from "@holdfast/testkit";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchBrowser, send, visit } from "./_browser.ts";

let kit: TestKit;
let browser: Browser;
beforeAll(async () => {
  kit = await createTestKit({ saves: false });
  browser = await launchBrowser();
  // The first turn builds and starts what the others then find ready.
  await kit.turn("list the files");
});
afterAll(async () => {
  await browser?.close();
  await kit?.[Symbol.asyncDispose]();
});

/** Plays exact turns of the scripted model. */
const script = (turns: object[]) => `Please.\n\`\`\`holdfast-script\n${JSON.stringify(turns)}\n\`\`\``;
const bash = (command: string) => ({ toolUse: { name: "Bash", input: { command, description: "test" } } });
const card = (page: Page) => page.locator("[data-question=open]");
const over = (page: Page) => page.locator("[data-question=over]");
const slow = { timeout: 60_000 };

/** A session of the page's own account; with `asks` its agent asks before every command. */
async function openSession(page: Page, asks: boolean): Promise<string> {
  const id = await page.evaluate(async (asksFirst) => {
    const post = async (path: string, body: object) => {
      const headers = { "content-type": "application/json" };
      const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
      if (!response.ok) throw new Error(await response.text());
      return (await response.json()) as { id: string };
    };
    const configs = [{ name: "bash", permission_policy: { type: "always_ask" } }];
    const tools = [{ type: "agent_toolset_20260401", configs }];
    const agent = asksFirst ? await post("/v1/agents", { model: "claude-opus-5-5", name: "asks", tools }) : null;
    return (await post("/v1/sessions", agent ? { agent: agent.id } : {})).id;
  }, asks);
  await goTo(page, id);
  return id;
}

async function goTo(page: Page, id: string): Promise<void> {
  await page.evaluate((to) => location.assign(`#/sessions/${to}`), id);
  await page.locator('[data-testid="connection"][data-state="live"]').waitFor({ state: "attached" });
}

test("a permission prompt shows in every browser, is answered in one, and outlives the server", async () => {
  await using one = await visit(browser, kit.system.loginUrl);
  await using two = await visit(browser, kit.system.loginUrl);
  const id = await openSession(one.page, true);
  await send(one.page, script([bash("echo granted > allowed.txt; cat allowed.txt"), { text: "Ran it." }]));
  await card(one.page).locator("pre").getByText("echo granted > allowed.txt").waitFor(slow);
  await two.page.reload();
  const listed = two.page.locator(`[data-testid="session-item"][data-id="${id}"]`);
  await listed.getByText("Needs your answer").waitFor();
  await goTo(two.page, id);
  await card(two.page).waitFor();
  const { pid } = kit.system.services.server;
  if (pid === undefined) throw new Error("no server runs");
  process.kill(pid, "SIGKILL");
  await one.page.getByText("Reconnecting…").waitFor(slow);
  await one.page.locator('[data-testid="connection"][data-state="live"]').waitFor({ state: "attached", ...slow });
  await two.page.getByTestId("allow").click(slow);
  await over(one.page).getByText("Allowed once").waitFor(slow);
  await one.page.locator('[data-kind="tool"][data-state="ok"]').getByText("granted").last().waitFor(slow);
  await one.page.locator('[data-kind="text"]').getByText("Ran it.").waitFor(slow);
  expect(await card(one.page).count()).toBe(0);
});

test("a question with choices is answered by the form, and Claude gets the answers", async () => {
  await using visited = await visit(browser, kit.system.loginUrl, { height: 1000 });
  const { page } = visited;
  await openSession(page, false);
  const options = [
    { label: "SQLite", description: "One file" },
    { label: "PostgreSQL", description: "A server" },
  ];
  const questions = [{ question: "Which database?", header: "Database", multiSelect: false, options }];
  await send(page, script([{ toolUse: { name: "AskUserQuestion", input: { questions } } }, { text: "So be it." }]));
  await card(page).getByLabel("PostgreSQL").check(slow);
  await page.getByTestId("answer").click();
  await over(page).getByText("PostgreSQL").waitFor(slow);
  await page.locator('[data-kind="text"]').getByText("So be it.").waitFor(slow);
});

test("what is queued is changed and taken back before Claude has it; the tab holds no stream of its own", async () => {
  await using visited = await visit(browser, kit.system.loginUrl);
  const { page } = visited;
  const open = new Set<unknown>();
  let most = 0;
  page.on("request", (request) => {
    if (request.resourceType() === "eventsource") most = Math.max(most, open.add(request).size);
  });
  for (const ended of ["requestfinished", "requestfailed"] as const)
    page.on(ended as "requestfinished", (request) => open.delete(request));
  await page.reload();
  await openSession(page, false);
  await send(page, script([bash("sleep 12; echo woke"), { text: "First is done." }]));
  await page.locator('[data-kind="tool"][data-state="running"]').waitFor(slow);
  const queued = page.getByTestId("queued");
  await send(page, script([{ text: "Never said." }]));
  await send(page, "not this one");
  await expect.poll(() => queued.count()).toBe(2);
  await queued.first().getByTestId("queued-edit").click();
  await page.getByTestId("queued-text").fill(script([{ text: "Said in other words." }]));
  await page.getByTestId("queued-save").click();
  await queued.first().getByText("edited").waitFor();
  await queued.nth(1).getByTestId("queued-remove").click();
  await page.locator('[data-kind="user"][data-removed]').getByText("not this one").waitFor();
  await page.locator('[data-kind="text"]').getByText("Said in other words.").waitFor(slow);
  expect(await queued.count()).toBe(0);
  expect(await page.getByText("Never said.").count()).toBe(0);
  // The browser's one stream is its worker's (packages/web/test/many-pages.test.ts counts it at the server).
  expect(most).toBe(0);
});
