import type { Answer } from "../../state/api.ts";
import css from "./questions.module.css";

export interface DenyFieldProps {
  label: string;
  value: string;
  disabled: boolean;
  onChange: (value: string) => void;
}

/** Words that go to Claude with a denial. */
export function DenyField({ label, value, disabled, onChange }: DenyFieldProps) {
  return (
    <label className={css.field}>
      <span>{label}</span>
      <textarea
        rows={1}
        maxLength={10_000}
        value={value}
        disabled={disabled}
        data-testid="deny-message"
        onChange={(event) => onChange(event.target.value)}
      />
    </label>
  );
}

export function denial(words: string, stop = false): Omit<Answer, "tool_use_id"> {
  const message = words.trim();
  return {
    result: "deny",
    ...(message === "" ? {} : { deny_message: message }),
    ...(stop ? { holdfast: { stop } } : {}),
  };
}
