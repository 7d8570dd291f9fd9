import type { Answer } from "../../state/api.ts";
import type { QuestionRow } from "../../state/rows.ts";

/** What each kind of card can say. */
export interface CardProps {
  row: QuestionRow;
  /** An answer is on its way. */
  busy: boolean;
  answer: (answer: Omit<Answer, "tool_use_id">) => void;
}
