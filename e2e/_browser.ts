import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

/** Debian's Chromium, without the background traffic that a closed network would only refuse. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

export interface Visit extends AsyncDisposable {
  page: Page;
  context: BrowserContext;
}

/** A browser that logged in by the URL that was printed. */
export async function visit(
  browser: Browser,
  loginUrl: string,
  options: { colorScheme?: "light" | "dark"; width?: number; height?: number; touch?: boolean } = {},
): Promise<Visit> {
  const context = await browser.newContext({
    colorScheme: options.colorScheme ?? "light",
    viewport: { width: options.width ?? 1280, height: options.height ?? 800 },
    hasTouch: options.touch ?? false,
  });
  const page = await context.newPage();
  await page.goto(loginUrl);
  await page.getByTestId("composer").waitFor();
  return { page, context, [Symbol.asyncDispose]: () => context.close() };
}

export async function send(page: Page, text: string): Promise<void> {
  await page.getByTestId("composer").fill(text);
  await page.getByTestId("send").click();
}

/** Waits until the page's session has been idle `count` times, and the page shows it. */
export async function untilDone(page: Page, count = 1): Promise<void> {
  await page.waitForFunction(
    async (wanted) => {
      const id = location.hash.split("/").at(-1) ?? "";
      if (!id.startsWith("sesn_")) return false;
      const answer = await fetch(`/v1/sessions/${id}/events?limit=1000&order=asc`);
      const { data } = (await answer.json()) as { data: { type: string }[] };
      return data.filter((event) => event.type === "session.status_idle").length >= wanted;
    },
    count,
    { timeout: 90_000, polling: 200 },
  );
  await page.locator('[data-testid="state"]:not([data-state="working"])').waitFor();
}

/** How far the transcript is from its bottom, in pixels. */
export function distanceToBottom(page: Page): Promise<number> {
  return page
    .getByTestId("transcript")
    .evaluate((scroller) => Math.round(scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop));
}
