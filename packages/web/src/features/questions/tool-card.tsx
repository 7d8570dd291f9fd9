import { Button } from "../../ui/button.tsx";
import { useKept } from "../transcript/contexts.ts";
import { CallInput } from "./call-input.tsx";
import type { CardProps } from "./card-props.ts";
import { DenyField, denial } from "./deny-field.tsx";
import css from "./questions.module.css";

/** May this tool run? */
export function ToolCard({ row, busy, answer }: CardProps) {
  const { request } = row;
  const [words, setWords] = useKept(`${row.id}/words`, "");
  return (
    <>
      <Facts row={row} />
      <CallInput id={row.id} tool={request.tool_name} input={request.input ?? {}} />
      {request.can_allow === false && <p className={css.note}>While a plan is made this can only be denied.</p>}
      <DenyField
        value={words}
        onChange={setWords}
        disabled={busy}
        label="If you deny: what Claude should do instead (optional)"
      />
      <div className={css.actions}>
        {request.can_allow !== false && (
          <>
            <Button
              look="primary"
              disabled={busy}
              data-key="y"
              aria-keyshortcuts="Y"
              data-testid="allow"
              onClick={() => answer({ result: "allow" })}
            >
              Allow once
            </Button>
            {request.suggestions.map((suggestion, i) => (
              <Button
                key={suggestion.id}
                disabled={busy}
                data-key={i === 0 ? "a" : undefined}
                aria-keyshortcuts={i === 0 ? "A" : undefined}
                data-testid="allow-always"
                className={css.always}
                onClick={() => answer({ result: "allow", holdfast: { remember: suggestion.id } })}
              >
                <Always label={suggestion.label} rules={suggestion.rules} />
              </Button>
            ))}
          </>
        )}
        <Button
          disabled={busy}
          data-key="n"
          aria-keyshortcuts="N"
          data-testid="deny"
          onClick={() => answer(denial(words))}
        >
          Deny
        </Button>
        <Button look="danger" disabled={busy} data-testid="deny-stop" onClick={() => answer(denial(words, true))}>
          Deny and stop
        </Button>
      </div>
    </>
  );
}

/** The rule itself, as it will be stored. */
function Always({ label, rules }: { label: string; rules: readonly string[] }) {
  if (rules.length === 0) return <span>{label}</span>;
  return (
    <span>
      Always allow <code>{rules.join(", ")}</code>
    </span>
  );
}

function Facts({ row }: { row: CardProps["row"] }) {
  const { tool_name: tool, description, reason, blocked_path: path } = row.request;
  return (
    <div className={css.facts}>
      <p>
        <strong>{tool}</strong>
        {description ? `: ${description}` : ""}
      </p>
      {path && (
        <p>
          Outside of what it may touch: <code>{path}</code>
        </p>
      )}
      {reason && <p>Why it asks: {reason}</p>}
    </div>
  );
}
