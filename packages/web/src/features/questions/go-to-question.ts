/** Puts the focus on the oldest question that waits for an answer, and scrolls there. False when there is none. */
export function goToQuestion(): boolean {
  const card = document.querySelector<HTMLElement>("[data-question=open]");
  card?.focus();
  return card !== null;
}

/** After an answer: to the next question, else to where one types. */
export function leaveQuestion(answered: HTMLElement | null): void {
  const next = [...document.querySelectorAll<HTMLElement>("[data-question=open]")].find((card) => card !== answered);
  const field = matchMedia("(pointer: coarse)").matches
    ? null
    : document.querySelector<HTMLElement>("[data-testid=composer]");
  (next ?? field)?.focus({ preventScroll: next === undefined });
}
