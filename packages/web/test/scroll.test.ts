import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { replayPerTest, settled } from "./fixture.ts";
import { answer, idle, running, sessionError, text, toolResult, turnResult, use, user } from "./recorded.ts";
import { delta, start } from "./replay-server.ts";

const it = replayPerTest();
const id = it.sessionId;

async function open(viewport = { width: 1000, height: 700 }): Promise<Page> {
  const page = await it.open({ viewport });
  await it.live(page);
  await settled(page);
  return page;
}

const distance = (page: Page) =>
  page.getByTestId("transcript").evaluate((el) => el.scrollHeight - el.clientHeight - el.scrollTop);

/** The first row in view, and where it is. */
const reading = (page: Page) =>
  page.getByTestId("transcript").evaluate((el) => {
    const top = el.getBoundingClientRect().top;
    const row = [...el.querySelectorAll<HTMLElement>("[data-row]")].find(
      (r) => r.getBoundingClientRect().bottom > top + 5,
    );
    return { id: row?.dataset.row ?? "", top: row?.getBoundingClientRect().top ?? 0 };
  });

const topOf = (page: Page, row: string) =>
  page.locator(`[data-row="${row}"]`).evaluate((el) => el.getBoundingClientRect().top);

function history(turns: number): void {
  for (let i = 1; i <= turns; i++) {
    it.server.append(id, user(`Question ${i}`));
    it.server.append(id, running);
    it.server.append(id, text(`${answer}\n\nAnswer ${i}.`));
    it.server.append(id, use(`h${i}`, "Bash", { command: `make ${i}` }));
    it.server.append(id, toolResult(`h${i}`, Array.from({ length: 5 + (i % 20) }, (_, n) => `line ${n}`).join("\n")));
    it.server.append(id, turnResult());
    it.server.append(id, idle());
  }
}

/** What a turn adds, one after the other, and how to know that it is there. */
const additions: [string, () => void, (page: Page) => Promise<void>][] = [
  ["text", () => it.server.append(id, text(answer, "new-text")), (page) => visible(page, "new-text")],
  [
    "tool use",
    () => it.server.append(id, use("new-tool", "Bash", { command: "make" })),
    (page) => visible(page, "new-tool"),
  ],
  [
    "result",
    () => it.server.append(id, toolResult("new-tool", "a\nb\nc\nd\ne\nf\ng\nh")),
    (page) => page.locator('[data-row="new-tool"] pre').waitFor({ state: "attached" }),
  ],
  ["error", () => it.server.append(id, { ...sessionError, id: "new-error" }), (page) => visible(page, "new-error")],
];
const visible = (page: Page, row: string) => page.locator(`[data-row="${row}"]`).waitFor({ state: "attached" });

test("while following, the view is at the end after text, tool use, result and error", async () => {
  history(10);
  it.server.append(id, user("go"));
  it.server.append(id, running);
  const page = await open();
  expect(await distance(page)).toBeLessThanOrEqual(1);
  for (const [name, add, there] of additions) {
    add();
    await there(page);
    await settled(page);
    expect(await distance(page), name).toBeLessThanOrEqual(1);
  }
  expect(await page.getByTestId("jump").count()).toBe(0);
});

test("scrolled up, the view does not move by a pixel, and the jump says what is new", async () => {
  history(10);
  it.server.append(id, user("go"));
  it.server.append(id, running);
  const page = await open();
  await page.mouse.move(600, 300);
  await page.mouse.wheel(0, -900);
  await page.getByTestId("jump").waitFor();
  await settled(page);
  const before = await reading(page);
  for (const [name, add] of additions) {
    add();
    await page.getByTestId("jump").getByText(/new/).waitFor();
    await settled(page);
    expect(Math.abs((await topOf(page, before.id)) - before.top), name).toBeLessThanOrEqual(1);
  }
  expect(await page.getByTestId("jump").textContent()).toContain("(3 new)");
  await page.getByTestId("jump").click();
  await visible(page, "new-error");
  await settled(page);
  expect(await distance(page)).toBeLessThanOrEqual(1);
  expect(await page.getByTestId("jump").count()).toBe(0);
});

test("a stream of words keeps a follower at the end in every frame, and a reader of the same text in place", async () => {
  history(4);
  it.server.append(id, user("go"));
  it.server.append(id, running);
  const page = await open();
  it.server.draft(id, start("d1"));
  const words = answer.repeat(12).match(/[\s\S]{1,12}/g) ?? [];
  for (const word of words.slice(0, 150)) it.server.draft(id, delta("d1", word));
  await visible(page, "d1");
  const off = page.getByTestId("transcript").evaluate(async (el) => {
    let worst = 0;
    for (let frame = 0; frame < 60; frame++) {
      // After layout, as painted: the observers that hold the view at the end have run by then.
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      worst = Math.max(worst, el.scrollHeight - el.clientHeight - el.scrollTop);
    }
    return worst;
  });
  for (const word of words.slice(150, 300)) {
    it.server.draft(id, delta("d1", word));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await off).toBeLessThanOrEqual(1);

  await page.mouse.move(600, 300);
  await page.mouse.wheel(0, -300);
  await page.getByTestId("jump").waitFor();
  await settled(page);
  const heading = page.locator('[data-row="d1"] h3').first();
  const before = await page.getByTestId("transcript").evaluate((el) => el.scrollTop);
  const size = await page.getByTestId("transcript").evaluate((el) => el.scrollHeight);
  for (const word of words.slice(300)) it.server.draft(id, delta("d1", word));
  await page.waitForFunction(
    (was) => (document.querySelector("[data-testid=transcript]")?.scrollHeight ?? 0) > was + 200,
    size,
  );
  await settled(page);
  expect(await page.getByTestId("transcript").evaluate((el) => el.scrollTop)).toBe(before);
  expect(await heading.count()).toBe(1);
});

test("the end stays in view when the window shrinks, as a keyboard makes it", async () => {
  history(6);
  const page = await open({ width: 390, height: 844 });
  for (const size of [
    { width: 390, height: 500 },
    { width: 844, height: 390 },
    { width: 390, height: 844 },
  ]) {
    await page.setViewportSize(size);
    await settled(page);
    expect(await distance(page), `${size.width}x${size.height}`).toBeLessThanOrEqual(1);
  }
});

test("sending takes the reader back to the end", async () => {
  history(6);
  const page = await open();
  await page.getByTestId("transcript").evaluate((el) => {
    el.scrollTop = 0;
  });
  await page.getByTestId("jump").waitFor();
  await page.getByTestId("composer").fill("next");
  await page.keyboard.press("Enter");
  await page.locator('[data-kind="user"]', { hasText: "next" }).waitFor();
  await settled(page);
  expect(await distance(page)).toBeLessThanOrEqual(1);
});

test("the keyboard lets go and takes hold: PageUp, End", async () => {
  history(6);
  const page = await open();
  await page.getByTestId("transcript").focus();
  await page.keyboard.press("PageUp");
  await page.getByTestId("jump").waitFor();
  await page.keyboard.press("End");
  await page.getByTestId("jump").waitFor({ state: "detached" });
  await settled(page);
  expect(await distance(page)).toBeLessThanOrEqual(1);
});

test("selecting text holds the view", async () => {
  history(6);
  it.server.append(id, user("go"));
  it.server.append(id, running);
  const page = await open();
  await page.locator('[data-kind="text"] p').last().dblclick();
  await page.getByTestId("jump").waitFor();
  const before = await reading(page);
  it.server.append(id, text(answer));
  await page.getByText("(1 new)").waitFor();
  await settled(page);
  expect(await topOf(page, before.id)).toBe(before.top);
});

test("older pages come as the reader goes up, without moving what is read, and few rows are in the document", async () => {
  history(100);
  const page = await open();
  const scroller = page.getByTestId("transcript");
  const height = () => scroller.evaluate((el) => el.scrollHeight);
  const older = () => it.server.requests.filter((request) => request.path === `/v1/sessions/${id}/events`).length - 1;
  await page.mouse.move(600, 300);
  for (let pages = 1; pages <= 2; pages++) {
    const gate = Promise.withResolvers<void>();
    it.server.holdPages = gate.promise;
    while (older() < pages) {
      await page.mouse.wheel(0, -3_000);
      await settled(page);
    }
    await page.getByText("Reading older messages…").waitFor();
    const before = await reading(page);
    const was = await height();
    gate.resolve();
    await page.waitForFunction(
      (h) => (document.querySelector("[data-testid=transcript]")?.scrollHeight ?? 0) > h + 1_000,
      was,
    );
    await settled(page);
    expect(Math.abs((await topOf(page, before.id)) - before.top)).toBeLessThanOrEqual(1);
    expect(await page.locator("[data-row]").count()).toBeLessThan(60);
  }
  await scroller.focus();
  await page.keyboard.press("Home");
  await page.getByText("Question 1", { exact: true }).waitFor();
  expect(older()).toBe(2);
});
