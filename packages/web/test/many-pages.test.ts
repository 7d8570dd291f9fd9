import type { BrowserContext, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { replayPerTest } from "./fixture.ts";
import { running, text as said, user } from "./recorded.ts";

const it = replayPerTest();
const { open, live, append } = it;

/** Another page of the same browser. */
async function another(context: BrowserContext, path = `/#/sessions/${it.sessionId}`): Promise<Page> {
  const page = await context.newPage();
  await page.goto(it.server.url + path);
  await live(page);
  return page;
}

/** Headless Chromium shows all pages at once: what a page is told of its place is changed here. */
async function hide(page: Page, hidden: boolean): Promise<void> {
  await page.evaluate((value) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => value });
    Object.defineProperty(document, "visibilityState", {
      configurable: true,
      get: () => (value ? "hidden" : "visible"),
    });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
}

const shows = (page: Page, text: string) => page.getByTestId("transcript").getByText(text).waitFor();

/** All pages show what comes, a request of each is answered, and the server has one stream. */
async function allWork(pages: readonly Page[], text: string): Promise<void> {
  append(said(text));
  await Promise.all(pages.map((page) => shows(page, text)));
  const statuses = pages.map((page) => page.evaluate(async () => (await fetch("/v1/sessions?limit=1")).status));
  expect(await Promise.all(statuses)).toEqual(pages.map(() => 200));
  await expect.poll(() => it.server.streamCount).toBe(1);
}

async function tenPages(first: Page): Promise<Page[]> {
  await live(first);
  const pages = [first];
  while (pages.length < 10) pages.push(await another(first.context()));
  return pages;
}

describe.each([
  ["in a worker that they share", false],
  ["where there are no shared workers", true],
])("ten pages of one browser, the stream %s", (_name, withoutWorker) => {
  const begin = async () => {
    const page = await open();
    if (!withoutWorker) return page;
    await page.context().addInitScript(() => Reflect.deleteProperty(globalThis, "SharedWorker"));
    await page.reload();
    return page;
  };

  test("all of them load, show what comes and are answered, hidden ones included", { timeout: 120_000 }, async () => {
    append(user("go"), running);
    const pages = await tenPages(await begin());
    await allWork(pages, "to all ten");
    for (const page of pages.slice(0, 5)) await hide(page, true);
    await allWork(pages, "to five that are hidden, too");
    await pages[0]?.close();
    await pages[9]?.close();
    await allWork(pages.slice(1, 9), "when the first and the last are closed");
  });

  test("what is open in each page is live there, whichever page has the stream", { timeout: 120_000 }, async () => {
    it.server.addSession("sesn_b", "Other");
    const first = await begin();
    await live(first);
    const second = await another(first.context(), "/#/sessions/sesn_b");
    append(said("of the first"));
    it.server.append("sesn_b", said("of the second"));
    await Promise.all([shows(first, "of the first"), shows(second, "of the second")]);
    await first.close();
    it.server.append("sesn_b", said("alone"));
    await shows(second, "alone");
    await expect.poll(() => it.server.streamCount).toBe(1);
  });
});

test("the page that leads lets go when it is hidden or frozen", { timeout: 120_000 }, async () => {
  const first = await open();
  await first.context().addInitScript(() => Reflect.deleteProperty(globalThis, "SharedWorker"));
  await first.reload();
  await live(first);
  const second = await another(first.context());
  const leads = async (page: Page) => {
    const held = await page.evaluate(async () => (await navigator.locks.query()).held?.[0]?.clientId);
    return held ?? "";
  };
  const before = await leads(second);
  await hide(first, true);
  await expect.poll(() => leads(second)).not.toBe(before);
  await allWork([first, second], "the second has it");
  await hide(first, false);
  const third = await another(first.context());
  const devtools = await second.context().newCDPSession(second);
  await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
  await allWork([first, third], "one of the others has it");
  await devtools.send("Page.setWebLifecycleState", { state: "active" });
  await allWork([first, second, third], "back again");
});

test("two browsers have a stream each", async () => {
  const [one, two] = [await open(), await open()];
  await Promise.all([live(one), live(two)]);
  append(said("to both"));
  await Promise.all([shows(one, "to both"), shows(two, "to both")]);
  await expect.poll(() => it.server.streamCount).toBe(2);
});
