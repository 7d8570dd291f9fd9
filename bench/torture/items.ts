import type { SessionEvent } from "@holdfast/protocol";
import type { RecordEntry } from "@holdfast/scripted-model";

/** Something that was said or done, under a name that is the same in the record, in the spool and in the log. */
export interface Item {
  key: string;
  /** Of a tool's result: what came out. */
  output?: string;
}

type Json = Record<string, unknown>;
const asObject = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {});
const asArray = (value: unknown): Json[] => (Array.isArray(value) ? value.map(asObject) : []);

const textKey = (text: unknown) => `text ${String(text)}`;
const thinkingKey = (text: unknown) => `thinking ${String(text)}`;
const useKey = (id: unknown) => `call ${String(id)}`;
const resultKey = (id: unknown) => `result of ${String(id)}`;
const endKey = "end of a turn";

/** What the log holds of Claude, in its order. `log` begins with the session. */
export function itemsOfLog(log: readonly SessionEvent[], from = 0): Item[] {
  const toolIds = new Map<string, string>();
  for (const event of log) if (event.type === "agent.tool_use") toolIds.set(event.id, event.holdfast.tool_use_id);
  return log.slice(from).flatMap((event): Item[] => {
    switch (event.type) {
      case "agent.message":
        return [{ key: textKey(event.content.map(({ text }) => text).join("")) }];
      case "agent.thinking":
        return [{ key: thinkingKey(event.holdfast?.text ?? "") }];
      case "agent.tool_use":
        return [{ key: useKey(event.holdfast.tool_use_id) }];
      case "agent.tool_result": {
        const key = resultKey(toolIds.get(event.tool_use_id) ?? event.tool_use_id);
        // Nobody said it: the server closes what Claude left open when its turn or its process ended.
        if (isClosing(event)) return [{ key: `closing of ${key}` }];
        const output = event.content.map((block) => (block.type === "text" ? block.text : "")).join("");
        return [{ key, output }];
      }
      case "holdfast.turn_result":
        return [{ key: endKey }];
      default:
        return [];
    }
  });
}

const isClosing = (event: Extract<SessionEvent, { type: "agent.tool_result" }>) =>
  asObject(event.holdfast?.details).unfinished !== undefined;

/** What came from Claude. */
export const isSaid = ({ key }: Item) => !key.startsWith("closing of ");

/** The same of the lines that Claude printed; read on its own, not by what the server reads them with. */
export function itemsOfLines(lines: readonly string[]): Item[] {
  return lines.flatMap((text): Item[] => {
    const line = asObject(JSON.parse(text));
    const message = asObject(line.message);
    if (line.type === "assistant") return asArray(message.content).flatMap(blockItem);
    if (line.type === "user") return asArray(message.content).flatMap(toolResultItem);
    // A start that failed is told by the exit, not as a turn.
    const isStart = line.num_turns === 0 && line.is_error === true;
    return line.type === "result" && !isStart ? [{ key: endKey }] : [];
  });
}

/** The same of what the scripted model says that it said. What broke off in the middle may be missing. */
export function itemsOfRecord(entries: readonly RecordEntry[]): (Item & { sure: boolean })[] {
  return entries.flatMap((entry) =>
    entry.blocks.flatMap((block) => {
      const sure = entry.outcome === "complete" && block.partial !== true;
      return blockItem({ ...block }).map((item) => ({ ...item, sure }));
    }),
  );
}

function blockItem(block: Json): Item[] {
  if (block.type === "text") return [{ key: textKey(block.text) }];
  if (block.type === "thinking") return [{ key: thinkingKey(block.thinking) }];
  return block.type === "tool_use" ? [{ key: useKey(block.id) }] : [];
}

function toolResultItem(block: Json): Item[] {
  if (block.type !== "tool_result") return [];
  const { content } = block;
  const output =
    typeof content === "string"
      ? content
      : asArray(content)
          .map(({ text }) => String(text))
          .join("");
  return [{ key: resultKey(block.tool_use_id), output }];
}

export interface Difference {
  /** Expected, and not there. */
  lost: string[];
  doubled: string[];
  /** There, and never said. */
  invented: string[];
  disordered: string[];
}

/** How `actual` differs from `expected`; what is only `possible` may be there or not. */
export function compareItems(
  expected: readonly Item[],
  actual: readonly Item[],
  possible: readonly Item[] = [],
): Difference {
  const wanted = countOf(expected);
  const allowed = countOf([...expected, ...possible]);
  const there = countOf(actual);
  const difference: Difference = { lost: [], doubled: [], invented: [], disordered: [] };
  for (const [key, count] of wanted) if ((there.get(key) ?? 0) < count) difference.lost.push(key);
  for (const [key, count] of there) {
    const most = allowed.get(key) ?? 0;
    if (most === 0) difference.invented.push(key);
    else if (count > most) difference.doubled.push(key);
  }
  const place = new Map(expected.map(({ key }, index) => [key, index]));
  const known = actual.filter(({ key }) => wanted.get(key) === 1 && there.get(key) === 1);
  for (const [index, { key }] of known.entries()) {
    const before = known[index - 1];
    if (before !== undefined && (place.get(before.key) ?? 0) > (place.get(key) ?? 0)) difference.disordered.push(key);
  }
  return difference;
}

function countOf(items: readonly Item[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { key } of items) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}
