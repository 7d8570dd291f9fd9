import { Markdown } from "../../markdown/markdown.tsx";
import { Button } from "../../ui/button.tsx";
import { useKept } from "../transcript/contexts.ts";
import type { CardProps } from "./card-props.ts";
import { DenyField, denial } from "./deny-field.tsx";
import css from "./questions.module.css";

/** Is this plan right? */
export function PlanCard({ row, busy, answer }: CardProps) {
  const [words, setWords] = useKept(`${row.id}/words`, "");
  return (
    <>
      <div className={css.plan} data-testid="plan">
        <Markdown text={row.request.plan ?? ""} streaming={false} />
      </div>
      <DenyField
        value={words}
        onChange={setWords}
        disabled={busy}
        label="To keep planning: what should be different (optional)"
      />
      <div className={css.actions}>
        <Button
          look="primary"
          disabled={busy}
          data-key="y"
          aria-keyshortcuts="Y"
          data-testid="approve"
          onClick={() => answer({ result: "allow", holdfast: { mode: "default" } })}
        >
          Approve
        </Button>
        <Button
          disabled={busy}
          data-key="a"
          aria-keyshortcuts="A"
          data-testid="approve-edits"
          onClick={() => answer({ result: "allow", holdfast: { mode: "acceptEdits" } })}
        >
          Approve and accept edits
        </Button>
        <Button
          disabled={busy}
          data-key="n"
          aria-keyshortcuts="N"
          data-testid="keep-planning"
          onClick={() => answer(denial(words))}
        >
          Keep planning
        </Button>
      </div>
    </>
  );
}
