import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { buildPage, launch } from "./browser.ts";
import { ReplayServer } from "./replay-server.ts";

export const desktop: BrowserContextOptions = { viewport: { width: 1280, height: 800 } };
export const phone: BrowserContextOptions = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

export interface Replay {
  /** Of the running test. */
  readonly server: ReplayServer;
  readonly dist: string;
  /** A session that exists from the start. */
  readonly sessionId: string;
  open: (options?: BrowserContextOptions, path?: string) => Promise<Page>;
  append: (...events: Parameters<ReplayServer["append"]>[1][]) => void;
  /** Until the page follows the log. */
  live: (page: Page) => Promise<void>;
}

/** One build and one browser per file, one server and no open page per test. Fails a test whose page had errors. */
export function replayPerTest(): Replay {
  let built: Awaited<ReturnType<typeof buildPage>>;
  let browser: Browser;
  let server: ReplayServer;
  let errors: string[] = [];
  const sessionId = "sesn_a";

  beforeAll(async () => {
    built = await buildPage();
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
    await built?.[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    server = await ReplayServer.start(built.dist);
    server.addSession(sessionId, "Fix the flaky upload test");
    errors = [];
  });
  afterEach(async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
    await server[Symbol.asyncDispose]();
    expect(errors, "errors of the page, among them violations of the security policy").toEqual([]);
  });

  return {
    get server() {
      return server;
    },
    get dist() {
      return built.dist;
    },
    sessionId,
    open: async (options = desktop, path = `/#/sessions/${sessionId}`) => {
      const context = await browser.newContext(options);
      const page = await context.newPage();
      page.on("pageerror", (error) => errors.push(error.message));
      page.on("console", (message) => {
        if (/Content Security Policy|Trusted|Minified React/i.test(message.text())) errors.push(message.text());
      });
      await page.goto(server.url + path);
      return page;
    },
    append: (...events) => {
      for (const event of events) server.append(sessionId, event);
    },
    live: (page) => page.locator('[data-testid="connection"][data-state="live"]').waitFor({ state: "attached" }),
  };
}

/** Until the layout has been the same for five frames. */
export async function settled(page: Page): Promise<void> {
  await page.getByTestId("transcript").evaluate(async (el) => {
    let same = 0;
    for (let last = ""; same < 5; ) {
      await new Promise(requestAnimationFrame);
      const now = `${el.scrollHeight} ${el.scrollTop}`;
      same = now === last ? same + 1 : 0;
      last = now;
    }
  });
}
