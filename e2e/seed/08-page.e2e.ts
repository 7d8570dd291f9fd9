import { createTestKit, type TestKit } from "@holdfast/testkit";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { distanceToBottom, launchBrowser, send, untilDone, visit } from "../_browser.ts";

let kit: TestKit;
let browser: Browser;
beforeAll(async () => {
  kit = await createTestKit();
  browser = await launchBrowser();
  // The first turn builds and starts what the others then find ready.
  await kit.turn("list the files");
});
afterAll(async () => {
  await browser?.close();
  await kit?.[Symbol.asyncDispose]();
});

async function newSession(page: Page): Promise<void> {
  await page.evaluate(() => location.assign("#/new"));
  await page.getByTestId("welcome").waitFor();
}

const rgb = (hex: string) => `rgb(${[1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join(", ")})`;

const colours = {
  light: { running: "#eaf3ff", ok: "#e9f7ee", error: "#fdecec" },
  dark: { running: "#10233f", ok: "#0f2a1a", error: "#35151a" },
};

describe.each(["light", "dark"] as const)("in the %s theme", (theme) => {
  test("Claude initialized once; tool blocks are marked and coloured by their state", async () => {
    await using visited = await visit(browser, kit.system.loginUrl, { colorScheme: theme, height: 2400 });
    const { page } = visited;
    await newSession(page);
    await send(page, "run `sleep 2 && echo fine`, then fail on purpose");
    const running = page.locator('[data-kind="tool"][data-state="running"]').first();
    await running.waitFor({ timeout: 60_000 });
    expect(await running.textContent()).toContain("🔧");
    const backgroundOf = (state: "running" | "ok" | "error") =>
      page
        .locator(`[data-kind="tool"][data-state="${state}"]`)
        .first()
        .evaluate((node) => {
          const tinted = [node, ...node.querySelectorAll("*")].find(
            (each) => getComputedStyle(each).backgroundColor !== "rgba(0, 0, 0, 0)",
          );
          return tinted === undefined ? "none" : getComputedStyle(tinted).backgroundColor;
        });
    expect(await backgroundOf("running")).toBe(rgb(colours[theme].running));
    await untilDone(page);
    const ok = page.locator('[data-kind="tool"][data-state="ok"]').first();
    const error = page.locator('[data-kind="tool"][data-state="error"]').first();
    expect(await ok.textContent()).toContain("✓");
    expect(await error.textContent()).toContain("❌");
    expect(await backgroundOf("ok")).toBe(rgb(colours[theme].ok));
    expect(await backgroundOf("error")).toBe(rgb(colours[theme].error));
    await send(page, "list the files");
    await untilDone(page, 2);
    expect(await page.locator('[data-kind="init"]').count()).toBe(1);
    expect(await page.locator('[data-kind="init"]').textContent()).toContain("🚀 Claude initialized");
  });
});

test("text keeps its line breaks, and a word of 500 characters does not overflow at 320 pixels", async () => {
  await using visited = await visit(browser, kit.system.loginUrl, { width: 320, height: 640 });
  const { page } = visited;
  const word = "w".repeat(500);
  await newSession(page);
  await send(page, `run \`echo ${word}\``);
  await untilDone(page);
  const output = page
    .locator('[data-kind="tool"] pre, [data-kind="tool"] [data-part="output"]')
    .filter({ hasText: "www" })
    .first();
  const style = await output.evaluate((node) => {
    const { whiteSpace, wordBreak, overflowWrap } = getComputedStyle(node);
    return { whiteSpace, breaks: `${wordBreak} ${overflowWrap}` };
  });
  expect(style.whiteSpace).toContain("pre-wrap");
  expect(style.breaks).toMatch(/break-word|anywhere/);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
});

const script = (turns: object[]) => `\`\`\`holdfast-script\n${JSON.stringify({ turns })}\n\`\`\``;
const long = Array.from({ length: 60 }, (_, i) => `Line ${i + 1} of a text that is longer than the window.`).join(
  "\n\n",
);

test("after text, tool use, result and error the view is at the bottom while following", async () => {
  await using visited = await visit(browser, kit.system.loginUrl);
  const { page } = visited;
  await newSession(page);
  await send(page, script([{ text: long }]));
  await untilDone(page);
  await expect.poll(() => distanceToBottom(page)).toBeLessThanOrEqual(1);
  await send(page, "run `seq 30`");
  await page.locator('[data-kind="tool"]').last().waitFor({ timeout: 60_000 });
  await expect.poll(() => distanceToBottom(page)).toBeLessThanOrEqual(1);
  await untilDone(page, 2);
  await expect.poll(() => distanceToBottom(page)).toBeLessThanOrEqual(1);
  await send(page, "fail on purpose");
  await page.locator('[data-kind="tool"][data-state="error"]').last().waitFor({ timeout: 60_000 });
  await expect.poll(() => distanceToBottom(page)).toBeLessThanOrEqual(1);
});

test("a reader who scrolled up is not moved by what arrives", async () => {
  await using visited = await visit(browser, kit.system.loginUrl);
  const { page } = visited;
  await newSession(page);
  await send(page, script([{ text: long }]));
  await untilDone(page);
  await page.getByTestId("transcript").hover();
  await page.mouse.wheel(0, -700);
  await expect.poll(() => distanceToBottom(page)).toBeGreaterThan(300);
  const top = () =>
    page.evaluate(() => {
      const seen = [...document.querySelectorAll("p")].find((each) => {
        const box = each.getBoundingClientRect();
        return box.top > 120 && box.bottom < window.innerHeight - 200 && /^Line \d+/.test(each.textContent ?? "");
      });
      return { text: seen?.textContent, y: Math.round(seen?.getBoundingClientRect().top ?? -1) };
    });
  const before = await top();
  const { sessionId } = await page.evaluate(() => ({ sessionId: location.hash.split("/").at(-1) ?? "" }));
  await page.evaluate(
    ([id, text]) =>
      fetch(`/v1/sessions/${id}/events`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ events: [{ type: "user.message", content: [{ type: "text", text }] }] }),
      }),
    [sessionId, "say something, then run `seq 20`, then fail on purpose"] as const,
  );
  await page.getByTestId("jump").waitFor();
  await expect
    .poll(() => page.getByTestId("session-item").first().textContent(), { timeout: 60_000 })
    .toMatch(/idle|done/i);
  expect(await top()).toEqual(before);
});

test("a reload in the middle of a turn loses nothing", async () => {
  await using visited = await visit(browser, kit.system.loginUrl);
  const { page } = visited;
  await newSession(page);
  await send(
    page,
    script([
      { text: long, delayMs: 2, toolUse: { name: "Bash", input: { command: "echo after reload" } } },
      { text: "All done." },
    ]),
  );
  await page.locator('[data-kind="text"]').first().waitFor({ timeout: 60_000 });
  await page.reload();
  await untilDone(page);
  await page.getByTestId("transcript").hover();
  await page.mouse.wheel(0, 100_000);
  await expect.poll(() => page.locator('[data-kind="text"]').last().textContent()).toContain("All done.");
  await expect
    .poll(() => page.locator('[data-kind="tool"][data-state="ok"]').last().textContent())
    .toContain("after reload");
  const seen = new Set<string>();
  for (let i = 0; i < 40 && seen.size < 60; i++) {
    for (const text of await page.locator('[data-kind="text"] p').allTextContents())
      if (/^Line \d+ /.test(text)) seen.add(text);
    await page.mouse.wheel(0, -500);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  }
  expect(seen.size).toBe(60);
});
