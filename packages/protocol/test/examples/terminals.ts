import { Terminal, TerminalCreate, TerminalHeard, TerminalSaid, TerminalSize } from "../../src/terminal.ts";
import type { Shape } from "./shape.ts";

export const terminal: Terminal = {
  id: "term_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  workspace_id: "wsp_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  sandbox_id: "sbx_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  rows: 24,
  cols: 80,
  created_at: "2026-03-01T09:00:00Z",
  state: "running",
  exit_code: 130,
  is_busy: true,
  output: { start: 0, end: 4096 },
};

export const terminalSaid: Record<TerminalSaid["type"], TerminalSaid> = {
  attached: { type: "attached", offset: 4096 },
  typed: { type: "typed", offset: 12 },
  exit: { type: "exit", code: 0 },
  error: { type: "error", code: "terminal_ended", detail: "It has ended", remedy: "Make another one." },
};

export const terminalShapes: readonly Shape[] = [
  {
    name: "Terminal",
    schema: Terminal,
    example: terminal,
    nullable: ["exit_code"],
    whole: ["rows", "cols", "exit_code", "output.start", "output.end"],
    choices: { state: ["running", "ended"] },
  },
  {
    name: "TerminalSize",
    schema: TerminalSize,
    example: { rows: 24, cols: 80 },
    whole: ["rows", "cols"],
    ruled: ["rows", "cols"],
    closed: [""],
  },
  {
    name: "TerminalCreate",
    schema: TerminalCreate,
    example: { rows: 50, cols: 132 },
    whole: ["rows", "cols"],
    ruled: ["rows", "cols"],
    closed: [""],
    defaulted: ["rows", "cols"],
  },
  {
    name: "TerminalHeard resize",
    schema: TerminalHeard,
    example: { type: "resize", rows: 24, cols: 80 },
    whole: ["rows", "cols"],
    ruled: ["rows", "cols"],
    fixed: ["type"],
    closed: [""],
  },
  {
    name: "TerminalSaid attached",
    schema: TerminalSaid,
    example: terminalSaid.attached,
    whole: ["offset"],
    fixed: ["type"],
  },
  { name: "TerminalSaid typed", schema: TerminalSaid, example: terminalSaid.typed, whole: ["offset"], fixed: ["type"] },
  {
    name: "TerminalSaid exit",
    schema: TerminalSaid,
    example: terminalSaid.exit,
    whole: ["code"],
    nullable: ["code"],
    fixed: ["type"],
  },
  { name: "TerminalSaid error", schema: TerminalSaid, example: terminalSaid.error, fixed: ["type"] },
];
