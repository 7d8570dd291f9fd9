import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { desktop, phone, replayPerTest } from "./fixture.ts";
import {
  asked,
  asks,
  choicesAsked,
  editAsks,
  fullTurn,
  idle,
  planAsked,
  resolved,
  running,
  sessionError,
  started,
  step,
  turnResult,
  use,
  user,
} from "./recorded.ts";

const it = replayPerTest();
const { open, append, live } = it;
let axeSource: string;

beforeAll(async () => {
  axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
});

const states: [string, () => void][] = [
  ["a whole turn", () => append(...fullTurn)],
  [
    "a turn that runs",
    () =>
      append(
        ...fullTurn.slice(0, 7),
        step("p", "permissions", "running", "Fixing", { progress: { done: 1, total: 3, unit: "files" } }),
        use("t1", "Bash", { command: "make" }),
      ),
  ],
  [
    "a turn that failed",
    () => append(user("go"), running, sessionError, idle("failed"), user("again"), running, turnResult("failed")),
  ],
  ["nothing yet", () => undefined],
  [
    "messages that wait, and one that was taken back",
    () =>
      append(
        user("go", "m1"),
        running,
        started("m1"),
        user("then this"),
        user("and that, at length ".repeat(20)),
        user("no", "m4"),
        { type: "holdfast.message", message_id: "m4", state: "removed" },
      ),
  ],
  [
    "a tool that waits for an answer",
    () => append(user("go"), running, use("t1", "Edit", { file_path: "a" }), editAsks("t1"), asked("t1")),
  ],
  ["questions with choices", () => append(user("go"), running, choicesAsked("t1"), asked("t1"))],
  [
    "a plan, after other questions that are over",
    () =>
      append(
        user("go"),
        running,
        asks("t0"),
        resolved("t0", "denied", { message: "no" }),
        choicesAsked("t2"),
        resolved("t2", "allowed", { answers: { "Which?": "This" } }),
        planAsked("t1"),
        asked("t1"),
      ),
  ],
];

const themes = ["light", "dark"] as const;

test.each(states)("axe finds nothing wrong with %s, on desktop and phone, light and dark", async (_name, make) => {
  make();
  for (const options of [desktop, phone]) {
    const page = await open({ ...options, reducedMotion: "reduce" });
    await live(page);
    await expectNothingWrong(page);
  }
});

test.each([
  ["desktop", desktop],
  ["phone", phone],
] as const)(
  "axe finds nothing wrong with the settings and the menu over a whole turn, on %s",
  async (_name, options) => {
    append(...fullTurn);
    it.server.status.storage = { state: "off", bucket: null, key_prefix: null, reason: "no bucket" };
    const page = await open({ ...options, reducedMotion: "reduce" });
    await live(page);
    if (options === phone) await page.getByTestId("menu").tap();
    else await page.getByTestId("settings").click();
    await page.locator("dialog").waitFor();
    await expectNothingWrong(page);
  },
);

async function expectNothingWrong(page: Page): Promise<void> {
  for (const colorScheme of themes) {
    await page.emulateMedia({ colorScheme });
    expect(await violations(page), colorScheme).toEqual([]);
  }
}

/** What axe says, and targets that are too small. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axeSource);
  return await page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: { run: (options: unknown) => Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    };
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const result = await axe.run({ resultTypes: ["violations"], runOnly: { type: "tag", values: tags } });
    const least = matchMedia("(pointer: coarse)").matches ? 44 : 24;
    const small = [...document.querySelectorAll("button, textarea, a[data-testid]")].filter((el) => {
      const { width, height } = el.getBoundingClientRect();
      return (
        height > 0 && (height < least - 0.5 || width < least - 0.5) && getComputedStyle(el).position !== "absolute"
      );
    });
    return [
      ...result.violations.map(
        (found) => `${found.id}: ${found.nodes.map((node) => node.html.slice(0, 160)).join(" ")}`,
      ),
      ...small.map((el) => `small: ${el.outerHTML.slice(0, 160)}`),
    ];
  });
}

test("axe finds nothing wrong with a session's menu", async () => {
  append(...fullTurn);
  const page = await open();
  await live(page);
  await page.getByTestId("session-menu").click();
  await page.getByTestId("raw").waitFor();
  expect(await violations(page)).toEqual([]);
});

test("everything can be reached by keyboard, from the skip link to a tool and back", async () => {
  append(...fullTurn);
  const page = await open();
  await live(page);
  await page.getByRole("button", { name: "Skip to the message field" }).focus();
  await page.keyboard.press("Enter");
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("data-testid"));
  expect(await focused()).toBe("composer");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  expect(await page.locator('[data-kind] [aria-expanded="true"]').count()).toBeGreaterThan(0);
});
