import type { EventOf } from "@holdfast/protocol";
import { type ToolRow, textOf } from "../../state/rows.ts";
import { useNow } from "../../ui/clock.ts";
import { formatDuration, formatElapsed } from "../../ui/format.ts";
import { Emoji, Icon } from "../../ui/icons.tsx";
import { abbreviate, type Hunk, maskSecrets, patchOf, plural, type Todo, todosOf } from "./abbreviate.ts";
import { ClippedText } from "./clipped-text.tsx";
import { useFold } from "./contexts.ts";
import { Diff } from "./diff.tsx";
import css from "./rows.module.css";

const words = { running: "running", ok: "done", error: "failed" } as const;

/** A tool call and its result, in one block. */
export function ToolRowView({ row }: { row: ToolRow }) {
  const { use, result } = row;
  const [open, toggle] = useFold(`${row.id}/input`, false);
  const text = result ? textOf(result.content) : "";
  const outcome = result ? { text, details: result.holdfast?.details } : null;
  const line = use
    ? abbreviate(use.name, use.input, outcome)
    : { label: "Result of an earlier call", params: "", note: "" };
  const word = row.abandoned ? "stopped" : row.asking ? "waits for your answer" : words[row.state];
  return (
    <section
      className={css.tool}
      data-kind="tool"
      data-state={row.asking ? "asking" : row.state}
      data-tool={use?.name}
      aria-label={`${line.label}, ${word}`}
    >
      <button type="button" className={css.toolHead} aria-expanded={open} onClick={toggle} disabled={!use}>
        <StateIcon row={row} />
        <span className={css.toolName}>{line.label}</span>
        <span className={css.toolParams}>{line.params}</span>
        <span className={css.toolNote}>
          {[row.abandoned ? "stopped, no result" : "", line.note].filter(Boolean).join(" · ")}
          <ToolTime row={row} lead={line.note !== "" || row.abandoned} />
        </span>
      </button>
      {open && use && <ToolInput use={use} />}
      <ToolBody row={row} text={text} />
    </section>
  );
}

function StateIcon({ row }: { row: ToolRow }) {
  if (row.state === "running") return <Emoji char="🔧" icon="wrench" />;
  if (row.state === "ok") return <Emoji char="✓" icon="check" />;
  return row.abandoned ? <Icon name="stop" /> : <Emoji char="❌" icon="cross" />;
}

function ToolTime({ row, lead }: { row: ToolRow; lead: boolean }) {
  const running = row.state === "running" && !row.asking;
  const now = useNow(running);
  if (!row.use || row.abandoned) return null;
  const startMs = Date.parse(row.use.processed_at);
  if (row.asking) return <span>{lead ? " · " : ""}waits for your answer</span>;
  const text = running
    ? now - startMs >= 1_000
      ? `running ${formatElapsed(now - startMs)}`
      : "running"
    : row.result
      ? formatDuration(Date.parse(row.result.processed_at) - startMs)
      : "";
  return <span>{(lead && text !== "" ? " · " : "") + text}</span>;
}

function ToolInput({ use }: { use: EventOf<"agent.tool_use"> }) {
  const command = use.name === "Bash" && typeof use.input.command === "string" ? use.input.command : null;
  const text = command ?? JSON.stringify(use.input, null, 2);
  return (
    <div className={css.toolInput}>
      <p className={css.note}>{command === null ? "Called with" : "Command"}</p>
      <ClippedText id={`${use.id}/in`} text={maskSecrets(text)} lines={40} />
    </div>
  );
}

function ToolBody({ row, text }: { row: ToolRow; text: string }) {
  const { use, result } = row;
  if (use?.name === "TodoWrite" && row.state !== "error")
    return row.superseded ? null : <TodoList todos={todosOf(use.input)} />;
  if (!result) return null;
  const hunks = row.state === "ok" ? hunksOf(row) : [];
  if (hunks.length > 0)
    return (
      <div className={css.toolBody}>
        <Diff id={row.id} hunks={hunks} />
      </div>
    );
  const images = result.content.filter((block) => block.type === "image").length;
  const shown = text.replace(/^<tool_use_error>([\s\S]*)<\/tool_use_error>$/, "$1");
  if (shown.trim() === "" && images === 0)
    return row.state === "error" ? <p className={css.note}>It failed without a word.</p> : null;
  return (
    <div className={css.toolBody}>
      {images > 0 && <p className={css.note}>{plural(images, "image")}, for Claude to look at</p>}
      {shown.trim() !== "" && <ClippedText id={row.id} text={shown} totalLines={result.holdfast?.lines} />}
      {result.holdfast?.clipped && result.holdfast.size_bytes !== undefined && (
        <p className={css.note}>Cut to the beginning; the whole result has {result.holdfast.size_bytes} bytes.</p>
      )}
    </div>
  );
}

/** The change that a tool made to a file; a new file is all additions. */
function hunksOf(row: ToolRow): Hunk[] {
  const hunks = patchOf(row.result?.holdfast?.details);
  if (hunks.length > 0) return hunks;
  const content = row.use?.name === "Write" ? row.use.input.content : undefined;
  if (typeof content !== "string" || content === "") return [];
  const lines = content.replace(/\n$/, "").split("\n");
  return [{ oldStart: 1, newStart: 1, lines: lines.slice(0, 200).map((line) => "+" + line) }];
}

const todoWords = { completed: "done", in_progress: "in progress", pending: "to do" } as const;

function TodoList({ todos }: { todos: readonly Todo[] }) {
  return (
    <ul className={css.todos} data-testid="todos" aria-label="Todo list">
      {todos.map((todo, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a todo has no identity but its place
        <li key={i} data-status={todo.status}>
          <Icon name={todo.status === "completed" ? "check" : todo.status === "in_progress" ? "dot" : "circle"} />
          <span>
            {todo.text}
            <span className={css.hidden}>, {todoWords[todo.status]}</span>
          </span>
        </li>
      ))}
    </ul>
  );
}
