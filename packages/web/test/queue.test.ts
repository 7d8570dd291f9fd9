import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { desktop, replayPerTest } from "./fixture.ts";
import { idle, running, started, text, toolResult, turnResult, use, user } from "./recorded.ts";

const it = replayPerTest();
const { open, append, live } = it;
const id = it.sessionId;

const shown = (page: Page) => page.locator('[data-kind="user"]').allInnerTexts();
const queued = (page: Page) => page.getByTestId("queued");
const interrupts = () =>
  it.server.requests
    .filter(({ body }) => JSON.stringify(body)?.includes("user.interrupt"))
    .map(({ body }) => (body as { events: unknown[] }).events[0]);
const turn = () => append(user("first", "m1"), running, started("m1"), use("t1", "Bash", { command: "sleep 9" }));

async function queueTwo(page: Page): Promise<void> {
  for (const words of ["second", "third"]) {
    await page.getByTestId("composer").fill(words);
    await page.keyboard.press("Enter");
  }
  await expect.poll(() => queued(page).count()).toBe(2);
}

test("what is sent while a turn runs waits above the composer and shows where Claude gets it", async () => {
  turn();
  const page = await open();
  await page.getByTestId("stop").waitFor();
  const composer = page.getByTestId("composer");
  await composer.click();
  await page.keyboard.type("one");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("two");
  expect(await composer.inputValue()).toBe("one\ntwo");
  await page.getByTestId("send").click();
  await queued(page).getByText("one").waitFor();
  expect(await shown(page)).toEqual(["first"]);
  expect(await page.getByTestId("typing").count()).toBe(0);
  const message = it.server.sessions.get(id)?.events.at(-1);
  expect(message).toMatchObject({
    type: "user.message",
    holdfast: { client_id: expect.stringMatching(/^[0-9a-f-]{36}$/) },
  });
  append(toolResult("t1", "done"), text("first is done"), turnResult(), idle());
  await expect.poll(() => queued(page).count()).toBe(1);
  append(running, started(message?.id ?? ""), text("second is begun"));
  await expect.poll(() => queued(page).count()).toBe(0);
  await page.getByText("second is begun").waitFor();
  const kinds = await page.locator("[data-kind]").evaluateAll((all) => all.map((el) => el.getAttribute("data-kind")));
  expect(kinds).toEqual(["user", "tool", "text", "result", "user", "text"]);
});

test("a queued message is edited and removed, and every device shows it, also after a reload", async () => {
  turn();
  const page = await open();
  const other = await open();
  await live(page);
  await live(other);
  await queueTwo(page);
  await expect.poll(() => queued(other).count()).toBe(2);
  await queued(page).first().getByTestId("queued-edit").click();
  await page.getByTestId("queued-text").fill("second, in other words");
  await page.keyboard.press("Enter");
  await queued(other).getByText("second, in other words").waitFor();
  await queued(other).nth(1).getByTestId("queued-remove").click();
  await expect.poll(() => queued(page).count()).toBe(1);
  await page.getByText("removed before Claude had it").waitFor();
  expect(await page.getByTestId("typing").count()).toBe(0);
  await page.reload();
  await queued(page).getByText("second, in other words").waitFor();
  expect(await page.locator('[data-kind="user"][data-removed]').textContent()).toContain("third");
  // Esc leaves the words as they are and stops nothing.
  await queued(page).getByTestId("queued-edit").click();
  await page.getByTestId("queued-text").fill("never saved");
  await page.keyboard.press("Escape");
  await queued(page).getByText("second, in other words").waitFor();
  expect(interrupts()).toEqual([]);
  const second =
    it.server.sessions.get(id)?.events.find((event) => JSON.stringify(event).includes('"second"'))?.id ?? "";
  append(turnResult(), idle(), running, started(second));
  await expect.poll(() => shown(page)).toContainEqual(expect.stringContaining("second, in other words"));
  expect((await shown(page)).at(-1)).toContain("edited");
});

test("send now steers; a message that Claude has already cannot be changed, and the page says so", async () => {
  turn();
  const page = await open();
  await live(page);
  await queueTwo(page);
  const [second = "", third = ""] = await queued(page).evaluateAll((all) =>
    all.map((el) => el.getAttribute("data-id") ?? ""),
  );
  await queued(page).nth(1).getByTestId("queued-now").click();
  await page.getByText("sent now: the turn before it was stopped").waitFor();
  expect(await queued(page).count()).toBe(1);
  expect(it.server.requests.at(-1)).toMatchObject({
    path: `/v1/sessions/${id}/messages/${third}`,
    body: { delivery: "now" },
  });
  it.server.append(id, started(second), { silent: true });
  await queued(page).getByTestId("queued-remove").click();
  await page.getByTestId("problems").getByText("Claude has this message already").waitFor();
});

test("Stop names the turn, is asked once, says so on every device, and lets the next turn run", async () => {
  turn();
  const page = await open();
  const other = await open();
  await live(other);
  await live(page);
  await queueTwo(page);
  const second = (await queued(page).first().getAttribute("data-id")) ?? "";
  await page.getByTestId("stop").dblclick();
  await page.getByRole("button", { name: "Stopping…" }).waitFor();
  await other.getByRole("button", { name: "Stopping…" }).waitFor();
  expect(interrupts()).toEqual([{ type: "user.interrupt", holdfast: { message_id: "m1" } }]);
  append(turnResult("stopped"), idle("stopped"), running, started(second));
  await page.getByRole("button", { name: "Stop", exact: true }).waitFor();
  await other.getByRole("button", { name: "Stop", exact: true }).waitFor();
  expect(await page.getByTestId("stop").isEnabled()).toBe(true);
});

test("the log of an older server, which does not say when a message is begun, shows every message", async () => {
  append(user("one"), running, text("answer"), user("two"), idle(), running, text("answer to two"), idle());
  const page = await open(desktop);
  await page.getByText("answer to two").waitFor();
  expect(await shown(page)).toEqual(["one", "two"]);
  expect(await queued(page).count()).toBe(0);
});
