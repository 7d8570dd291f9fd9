import type { ChoiceQuestion } from "@holdfast/protocol";
import { Button } from "../../ui/button.tsx";
import { useKept } from "../transcript/contexts.ts";
import type { CardProps } from "./card-props.ts";
import { type Choice, chosen, noChoice, toggled } from "./choices.ts";
import { denial } from "./deny-field.tsx";
import css from "./questions.module.css";

type Choices = Readonly<Record<string, Choice>>;

/** Which of these? One form for all of its questions. */
export function ChoiceCard({ row, busy, answer }: CardProps) {
  const [choices, setChoices] = useKept<Choices>(`${row.id}/choices`, {});
  const questions = row.request.questions ?? [];
  const answers = Object.fromEntries(
    questions.map((question) => [question.question, chosen(question, choices[question.question] ?? noChoice)]),
  );
  const missing = Object.values(answers).filter((given) => given.length === 0).length;
  const send = () => {
    const single = (given: string[]) => (given.length === 1 ? (given[0] ?? "") : given);
    const holdfast = {
      answers: Object.fromEntries(Object.entries(answers).map(([question, given]) => [question, single(given)])),
    };
    answer({ result: "allow", holdfast });
  };
  return (
    <form
      className={css.form}
      data-testid="choices"
      onSubmit={(event) => {
        event.preventDefault();
        if (missing === 0 && !busy) send();
      }}
    >
      {questions.map((question) => (
        <Question
          key={question.question}
          name={`${row.id}/${question.question}`}
          question={question}
          choice={choices[question.question] ?? noChoice}
          disabled={busy}
          onChange={(choice) => setChoices({ ...choices, [question.question]: choice })}
        />
      ))}
      <div className={css.actions}>
        <Button look="primary" type="submit" disabled={busy || missing > 0} data-testid="answer">
          Answer
        </Button>
        <Button
          disabled={busy}
          data-key="n"
          aria-keyshortcuts="N"
          data-testid="decline"
          onClick={() => answer(denial(""))}
        >
          Do not answer
        </Button>
        {missing > 0 && questions.length > 1 && (
          <span className={css.note}>
            {missing} of {questions.length} still to answer
          </span>
        )}
      </div>
    </form>
  );
}

interface QuestionProps {
  name: string;
  question: ChoiceQuestion;
  choice: Choice;
  disabled: boolean;
  onChange: (choice: Choice) => void;
}

function Question({ name, question, choice, disabled, onChange }: QuestionProps) {
  const { multi_select: multi } = question;
  const type = multi ? "checkbox" : "radio";
  return (
    <fieldset className={css.question} disabled={disabled}>
      <legend>
        {question.header && <span className={css.chip}>{question.header}</span>} {question.question}
        {multi && <span className={css.note}> Any number of them</span>}
      </legend>
      {question.options.map(({ label, description, preview }) => {
        const picked = choice.labels.includes(label);
        return (
          <label key={label} className={css.option} data-picked={picked || undefined}>
            <input type={type} name={name} checked={picked} onChange={() => onChange(toggled(choice, label, multi))} />
            <span>
              <strong>{label}</strong>
              {description && <span className={css.description}>{description}</span>}
              {picked && preview && <pre className={css.preview}>{preview}</pre>}
            </span>
          </label>
        );
      })}
      <label className={css.option} data-picked={choice.other || undefined}>
        <input
          type={type}
          name={name}
          checked={choice.other}
          data-testid="other"
          onChange={() => onChange(toggled(choice, null, multi))}
        />
        <span>
          <strong>Other</strong>
        </span>
      </label>
      {choice.other && (
        <textarea
          className={css.otherText}
          rows={1}
          maxLength={10_000}
          value={choice.otherText}
          aria-label={`Your own answer: ${question.question}`}
          data-testid="other-text"
          onChange={(event) => onChange({ ...choice, otherText: event.target.value })}
        />
      )}
    </fieldset>
  );
}
