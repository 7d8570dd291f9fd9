import { type ReactNode, useEffect, useRef } from "react";
import { Button } from "./button.tsx";
import css from "./dialog.module.css";
import { Icon } from "./icons.tsx";

export interface DialogProps {
  title: string;
  onClose: () => void;
  children: ReactNode;
}

/** A modal of the browser's own: it keeps the focus inside, closes on Esc and gives the focus back. */
export function Dialog({ title, onClose, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={ref} className={css.dialog} aria-label={title} onClose={onClose} data-testid="dialog">
      <header className={css.head}>
        <h2>{title}</h2>
        <Button look="quiet" aria-label="Close" onClick={onClose}>
          <Icon name="cross" />
        </Button>
      </header>
      <div className={css.body}>{children}</div>
    </dialog>
  );
}
