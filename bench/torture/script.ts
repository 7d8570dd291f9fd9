/** What the model is to say in a turn that is tortured: numbered everywhere, so that loss, doubling and order show. */
export interface TortureScript {
  when: { userTextIncludes: string };
  turns: { thinking?: string; text: string; toolUse?: ToolUse[]; delayMs: number }[];
}

interface ToolUse {
  name: string;
  input: Record<string, unknown>;
}

const messages = 12;
const toolsPerMessage = 8;
const toolOrder = ["Bash", "Write", "Read", "Bash", "Read", "Write", "Read", "Read"];
const deltaDelayMs = 4;

/** Of one block: unique in the whole run. */
export const marker = (turn: string, message: number, block: string) => `[[${turn}:m${message}:${block}]]`;

/** Each command that ran adds its line here, in the workspace: a doubled execution shows. */
export const ranFile = (turn: string) => `ran-${turn}.txt`;

/** At least 200 events: 12 messages with thinking, text and eight tool calls each. With `wall`, one call never ends. */
export function tortureScript(turn: string, options: { seat: number; wall: boolean }): TortureScript {
  const turns: TortureScript["turns"] = [];
  for (let message = 0; message < messages; message++) {
    const toolUse = Array.from({ length: toolsPerMessage }, (_, index) => tool(turn, message, index, options));
    if (options.wall && message === messages - 3) toolUse[3] = wallTool(turn, message);
    turns.push({
      thinking: `I think about step ${message}. ${marker(turn, message, "think")}`,
      text: `Step ${message} of the long work. ${marker(turn, message, "text")}`,
      toolUse,
      delayMs: deltaDelayMs,
    });
  }
  turns.push({ text: `All is done. ${marker(turn, messages, "text")}`, delayMs: deltaDelayMs });
  return { when: { userTextIncludes: turnTag(turn) }, turns };
}

/** A short turn after the recovery. */
export function nextScript(turn: string): TortureScript {
  const echo = { name: "Bash", input: { command: ranCommand(turn, marker(turn, 0, "u0")) } };
  return {
    when: { userTextIncludes: turnTag(turn) },
    turns: [
      { text: `On we go. ${marker(turn, 0, "text")}`, toolUse: [echo], delayMs: 0 },
      { text: `Still here. ${marker(turn, 1, "text")}`, delayMs: 0 },
    ],
  };
}

/** Stands in the prompt of a turn. */
export const turnTag = (turn: string) => `<<${turn}>>`;

function tool(turn: string, message: number, index: number, options: { seat: number }): ToolUse {
  const tag = marker(turn, message, `u${index}`);
  // Names are used again in every round: the workspace stays small.
  const file = `/mnt/workspace/seat${options.seat}-m${message}-u${index < 5 ? 1 : 5}.txt`;
  const kind = toolOrder[index];
  if (kind === "Write") return { name: kind, input: { file_path: file, content: `${tag}\n` } };
  if (kind === "Read") return { name: kind, input: { file_path: file } };
  return { name: "Bash", input: { command: ranCommand(turn, tag) } };
}

function wallTool(turn: string, message: number): ToolUse {
  const command = `${ranCommand(turn, marker(turn, message, "u3"))}; sleep 300`;
  return { name: "Bash", input: { command, timeout: 400_000 } };
}

function ranCommand(turn: string, tag: string): string {
  return `echo '${tag}' >> /mnt/workspace/${ranFile(turn)}; echo '${tag}'`;
}
