import type { SessionEvent } from "@holdfast/protocol";
import { sleep } from "@holdfast/std";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { some } from "../check-turn.ts";
import type { Installation } from "../installation.ts";
import { compareItems } from "../items.ts";
import type { Blow, Kind } from "../kind.ts";

interface Reader {
  installation: Installation;
  context: BrowserContext;
  page: Page;
}

let browser: Browser | undefined;
let reader: Reader | undefined;

/** What the log's events must be on the page, in this order. */
const shown = new Set(["user.message", "agent.message", "agent.thinking", "agent.tool_use", "holdfast.turn_result"]);

export const browserKind: Kind = {
  name: "browser",
  what: "the page in Chromium is closed and opened again, loaded again, or without a network for 0.2 to 3 s; up to three times in a row. Compared is also what the page shows in the end",
  rounds: 30,
  turn: "goes_on",
  sessions: 1,
  async prepare(stack) {
    const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"];
    browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
    stack.defer(() => browser?.close());
    return {};
  },
  async begin(installation) {
    if (browser === undefined) throw new Error("Chromium was not started");
    const context = await browser.newContext({ viewport: { width: 1280, height: 1600 } });
    const page = await context.newPage();
    await page.goto(installation.kit.url);
    await page.getByTestId("login-key").fill(installation.kit.account.apiKey);
    await page.getByTestId("login-submit").click();
    await page.getByTestId("composer").waitFor();
    reader = { installation, context, page };
  },
  async before(sessionIds) {
    await open(current(), sessionIds[0] ?? "");
  },
  async strike({ random, sessionIds, signal }) {
    const what: string[] = [];
    for (let time = random.between(1, 3); time > 0; time--) {
      what.push(await hurt(current(), { random, sessionId: sessionIds[0] ?? "", signal }));
      if (time > 1) await sleep(random.between(0, 600), signal);
    }
    return { kills: what.length, detail: what.join(", ") };
  },
  async compare(log) {
    const { page } = current();
    const behind = await settled(page);
    if (behind !== undefined) return { lost: 0, doubled: 0, disordered: 0, failures: [behind] };
    const expected = log.filter(({ type }) => shown.has(type)).map(({ id }) => ({ key: id }));
    const known = new Set(expected.map(({ key }) => key));
    const rows = await rowsOf(page);
    const difference = compareItems(
      expected,
      rows.filter((id) => known.has(id)).map((key) => ({ key })),
    );
    const failures = Object.entries<string[]>({ ...difference })
      .filter(([, keys]) => keys.length > 0)
      .map(([name, keys]) => `the page: ${name} ${some(keys.map((key) => tell(log, key)))}`);
    const [lost, doubled] = [difference.lost.length, difference.doubled.length];
    return { lost, doubled, disordered: difference.disordered.length, failures };
  },
};

/** Undefined when the page shows that nothing works any more; else what it shows. */
async function settled(page: Page): Promise<string | undefined> {
  try {
    await page.locator('[data-testid="state"]:not([data-state="working"])').waitFor({ timeout: 60_000 });
    await page.locator('[data-testid="connection"][data-state="live"]').waitFor({ state: "attached", timeout: 60_000 });
    return undefined;
  } catch {
    const read = (name: string) => page.getByTestId(name).getAttribute("data-state", { timeout: 1_000 });
    const [state, connection] = await Promise.all([read("state"), read("connection")]).catch(() => ["?", "?"]);
    return `the page still shows the state ${state}, connection ${connection}, a minute after the end`;
  }
}

function current(): Reader {
  if (reader === undefined) throw new Error("nobody reads the page");
  return reader;
}

async function open({ installation, page }: Reader, sessionId: string): Promise<void> {
  await page.goto(`${installation.kit.url}/#/sessions/${sessionId}`);
  await page.getByTestId("transcript").waitFor();
}

async function hurt(
  hurting: Reader,
  { random, sessionId, signal }: Pick<Blow, "random" | "signal"> & { sessionId: string },
): Promise<string> {
  const how = random.pick(["closed", "loaded again", "offline"] as const);
  if (how === "closed") {
    await hurting.page.close();
    hurting.page = await hurting.context.newPage();
    await open(hurting, sessionId);
  } else if (how === "loaded again") {
    await hurting.page.reload();
  } else {
    const forMs = random.between(200, 3_000);
    await hurting.context.setOffline(true);
    await sleep(forMs, signal);
    await hurting.context.setOffline(false);
  }
  return how;
}

/** In the page: two frames, then what is in view, and how far down that is. */
const look = `(async () => {
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  const scroller = document.querySelector("[data-testid=transcript]");
  const rows = [...scroller.querySelectorAll("[data-row]")];
  rows.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top);
  return { ids: rows.map((row) => row.dataset.row), top: scroller.scrollTop };
})()`;
const scroll = (how: string) => `document.querySelector("[data-testid=transcript]").${how}`;

interface View {
  ids: string[];
  top: number;
}

/** The ids of all rows, top to bottom. Only those in view are in the document. */
async function rowsOf(page: Page): Promise<string[]> {
  // Rows that are drawn for the first time get their height, and move what is below.
  for (let atTop = 0; atTop < 3; ) {
    await page.evaluate(scroll("scrollTo({ top: 0 })"));
    atTop = (await page.evaluate<View>(look)).top === 0 ? atTop + 1 : 0;
  }
  const ids: string[] = [];
  for (let still = 0, before = -1; still < 3; ) {
    const view = await page.evaluate<View>(look);
    append(ids, view.ids);
    still = view.top === before ? still + 1 : 0;
    before = view.top;
    await page.evaluate(scroll("scrollBy({ top: 700 })"));
  }
  return ids;
}

/** Adds a view to those above it. What a view shows twice, or in another order, stays so. */
function append(ids: string[], view: readonly string[]): void {
  const overlap = ids.lastIndexOf(view[0] ?? "");
  const common = overlap < 0 ? 0 : ids.length - overlap;
  const agrees = ids.slice(ids.length - common).every((id, index) => id === view[index]);
  ids.push(...view.slice(agrees ? common : 0));
}

function tell(log: readonly SessionEvent[], id: string): string {
  const event = log.find((each) => each.id === id);
  return `${event?.type} at ${event?.seq}`;
}
