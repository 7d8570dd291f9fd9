import { type KeyboardEvent, useEffect, useLayoutEffect, useRef, useState } from "react";
import { Button } from "../../ui/button.tsx";
import { Icon } from "../../ui/icons.tsx";
import css from "./composer.module.css";

export interface ComposerProps {
  /** What the text belongs to: unsent text is kept per session. */
  draftKey: string;
  working: boolean;
  stopping: boolean;
  disabled?: boolean;
  onSend: (text: string) => void;
  onStop: () => void;
}

const coarse = matchMedia("(pointer: coarse)");

/** One to ten lines. While a turn runs, Stop stands beside it and what is sent is queued. */
export function Composer(props: ComposerProps) {
  const { draftKey, working, stopping, disabled = false, onSend, onStop } = props;
  const storageKey = `holdfast.draft.${draftKey}`;
  const [text, setText] = useState(() => sessionStorage.getItem(storageKey) ?? "");
  const field = useRef<HTMLTextAreaElement>(null);
  const blank = text.trim() === "";

  useEffect(() => {
    if (text === "") sessionStorage.removeItem(storageKey);
    else sessionStorage.setItem(storageKey, text);
  }, [text, storageKey]);

  useEffect(() => {
    // On touch the focus would raise the keyboard over what one came to read.
    if (!coarse.matches) field.current?.focus({ preventScroll: true });
  }, []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the height follows the text
  useLayoutEffect(() => {
    const el = field.current;
    if (!el || CSS.supports("field-sizing", "content")) return;
    el.style.height = "auto";
    el.style.height = `${el.scrollHeight + 2}px`;
  }, [text]);

  const send = () => {
    if (blank || disabled) return;
    onSend(text);
    setText("");
    field.current?.focus({ preventScroll: true });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Escape" && working) return onStop();
    if (event.key !== "Enter" || event.shiftKey) return;
    if (coarse.matches && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    send();
  };

  return (
    <form
      className={css.composer}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        ref={field}
        className={css.field}
        data-testid="composer"
        aria-label="Message Claude"
        placeholder={working ? "Message Claude (queued)" : "Message Claude"}
        enterKeyHint={coarse.matches ? "enter" : "send"}
        rows={1}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      {working && (
        <Button look="danger" className={css.action} data-testid="stop" onClick={onStop} disabled={stopping}>
          <Icon name="stop" />
          {stopping ? "Stopping…" : "Stop"}
        </Button>
      )}
      {(!working || !blank) && (
        <Button look="primary" className={css.action} type="submit" data-testid="send" disabled={blank || disabled}>
          <Icon name="send" />
          {working ? "Queue" : "Send"}
        </Button>
      )}
    </form>
  );
}
