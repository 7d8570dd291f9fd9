/** What the model is to say in a turn that is tortured: numbered everywhere, so that loss, doubling and order show. */
export interface TortureScript {
  when: { userTextIncludes: string };
  turns: { thinking?: string; text: string; toolUse?: ToolUse[]; delayMs: number }[];
}

interface ToolUse {
  name: string;
  input: Record<string, unknown>;
}

/** Of the long work: 225 events or so. */
export const longMessages = 12;
const toolsPerMessage = 8;
const toolOrder = ["Bash", "Write", "Read", "Bash", "Read", "Write", "Read", "Read"];
const deltaDelayMs = 4;

/** Of one block: unique in the whole run. */
export const marker = (turn: string, message: number, block: string) => `[[${turn}:m${message}:${block}]]`;

/** Each command that ran adds its line here, in the workspace: a doubled execution shows. */
export const ranFile = (turn: string) => `ran-${turn}.txt`;

export interface LongWork {
  /** So many messages with thinking, text and eight tool calls each. */
  messages: number;
  /** One call never ends by itself. */
  wall: boolean;
}

/** How many events the turn has, or has until it comes to the call that never ends. */
export const eventsOf = ({ messages, wall }: LongWork) => (wall ? messages - 2 : messages) * 18 + (wall ? 0 : 9);

export function tortureScript(turn: string, options: LongWork & { seat: number }): TortureScript {
  const { messages } = options;
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
