/**
 * Runs in a network namespace of its own (`unshare --net`): everything is started here, so packets can be dropped
 * without touching the machine's. Prints one line of JSON.
 */
import { execFileSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { createTestKit, eventsOf } from "@holdfast/testkit";

const steps = 60;
const cuts = [
  { direction: "to the engine", ms: 1_000 },
  { direction: "from the engine", ms: 3_000 },
  { direction: "both", ms: 8_000 },
  { direction: "from the engine", ms: 8_000 },
  { direction: "to the engine", ms: 6_000 },
];

const nft = (rules: string) => execFileSync("nft", ["-f", "-"], { input: rules });

function cut(port: number, direction: string): void {
  const rules = [
    ...(direction === "from the engine" ? [] : [`tcp dport ${port} drop`]),
    ...(direction === "to the engine" ? [] : [`tcp sport ${port} drop`]),
  ];
  nft(
    `table inet cut {\n chain input { type filter hook input priority 0; policy accept;\n ${rules.join("\n ")}\n }\n}\n`,
  );
}

const heal = () => nft("delete table inet cut\n");

execFileSync("ip", ["link", "set", "lo", "up"]);
const gateway = { adminUrl: "", adminToken: "" };
await using kit = await createTestKit({
  adjust: (name, options) => {
    if (name === "server") Object.assign(gateway, options.gateway);
    if (name !== "gateway") return options;
    return { ...options, scriptedModel: { allowScripts: true, deltaDelayMs: 4, deltaChars: 60, recordLimit: 400 } };
  },
});
const turns = Array.from({ length: steps }, (_, n) => ({
  text: `Step ${n}.`,
  toolUse: [{ name: "Bash", input: { command: `echo ran-${n} >> /mnt/workspace/ran.txt; echo did-${n}; sleep 0.9` } }],
  delayMs: 2,
}));
const script = { when: { userTextIncludes: "all the steps" }, turns: [...turns, { text: "All is done.", delayMs: 2 }] };
const scripts = await fetch(`${gateway.adminUrl}/admin/scripts`, {
  method: "POST",
  headers: { authorization: `Bearer ${gateway.adminToken}`, "content-type": "application/json" },
  body: JSON.stringify([script]),
});
if (!scripts.ok) throw new Error(await scripts.text());
const { sessionId } = await kit.turn("run `true`");
const enginePort = Number(kit.system.services.engine.ready?.port);

const newest = async () => (await kit.log(sessionId)).length;
/** How long after its end each cut was over for the reader, too. */
const recoveredMs: number[] = [];
const running = kit.turn("Do all the steps", { sessionId, timeoutMs: 180_000 });
let isOver = false;
const ended = () => {
  isOver = true;
};
running.then(ended, ended);
for (const { direction, ms } of cuts) {
  await delay(1_500);
  cut(enginePort, direction);
  await delay(ms);
  const before = await newest();
  heal();
  const healed = performance.now();
  while ((await newest()) === before && !isOver && performance.now() - healed < 60_000) await delay(50);
  // A turn that has ended says nothing more: what comes after it tells of no recovery.
  if (!isOver) recoveredMs.push(Math.round(performance.now() - healed));
}
const { events } = await running;
const log = await kit.log(sessionId);
const results = eventsOf(log, "agent.tool_result").map((event) => JSON.stringify(event));
const ran = (await kit.exec(["cat", "/mnt/workspace/ran.txt"])).stdout.trim().split("\n");
const said = eventsOf(log, "agent.message").flatMap((event) => event.content.map((block) => block.text));
process.stdout.write(
  `${JSON.stringify({
    outcome: eventsOf(events, "session.status_idle")[0]?.holdfast?.outcome,
    errors: eventsOf(events, "session.error").map((event) => event.error.message),
    dense: log.every((event, index) => event.seq === index + 1),
    events: log.length,
    ranInOrder: ran.join() === Array.from({ length: steps }, (_, n) => `ran-${n}`).join(),
    // How many results each step has.
    results: Array.from(
      { length: steps },
      (_, n) => results.filter((text) => new RegExp(`did-${n}(?!\\d)`).test(text)).length,
    ),
    said: said.filter((text) => text.startsWith("Step ")),
    recoveredMs,
  })}\n`,
);
