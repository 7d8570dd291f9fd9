/** Builds the image of the sandboxes before any test's time runs: in a fresh checkout that takes minutes. */
import { sleep } from "@holdfast/std";
import { createTestKit } from "@holdfast/testkit";

const limitMs = 15 * 60 * 1000;
const everyMs = 500;

await using kit = await createTestKit({ saves: false });
const signal = AbortSignal.timeout(limitMs);
for (let said = ""; ; await sleep(everyMs, signal)) {
  const { state, detail } = (await kit.status()).image;
  const words = `${state}${detail === null ? "" : `: ${detail}`}`;
  if (words !== said) console.log(words);
  said = words;
  if (state === "ready") break;
  if (state === "failed") throw new Error(`The image could not be built: ${detail}`);
}
