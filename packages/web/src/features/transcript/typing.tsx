import css from "./transcript.module.css";

/** Until the first word of an answer. `still`: another indicator is moving already. */
export function Typing({ still }: { still: boolean }) {
  return (
    <div className={css.typing} data-testid="typing" data-still={still || undefined}>
      <span className={css.dots} aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      <span className={css.typingWords}>Waiting for an answer</span>
    </div>
  );
}
