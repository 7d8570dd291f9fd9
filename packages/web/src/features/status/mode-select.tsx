import css from "./mode-select.module.css";

const modes: readonly [string, string][] = [
  ["plan", "Plan only"],
  ["default", "Ask first"],
  ["acceptEdits", "Accept edits"],
  ["dontAsk", "Never ask, refuse"],
  ["bypassPermissions", "Allow everything"],
];

/** What Claude may do without asking. Claude changes it, too: it goes into plan mode by itself. */
export function ModeSelect({ mode, onChange }: { mode: string; onChange: (mode: string) => void }) {
  const known = modes.some(([name]) => name === mode);
  return (
    <select
      className={css.mode}
      aria-label="Permission mode"
      title="What Claude may do without asking"
      data-testid="permission-mode"
      value={mode}
      onChange={(event) => onChange(event.target.value)}
    >
      {!known && <option value={mode}>{mode}</option>}
      {modes.map(([name, words]) => (
        <option key={name} value={name}>
          {words}
        </option>
      ))}
    </select>
  );
}
