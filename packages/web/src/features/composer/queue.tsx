import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { background } from "../../state/background.ts";
import { textOf, type UserRow } from "../../state/rows.ts";
import type { SessionStore, SessionView } from "../../state/session-store.ts";
import { Button } from "../../ui/button.tsx";
import { Icon, Spinner } from "../../ui/icons.tsx";
import css from "./queue.module.css";

/** What waits for the running turn. It can be changed, taken back, or sent at once, until Claude has it. */
export function Queue({ session, view }: { session: SessionStore; view: SessionView }) {
  const { queue, sending } = view;
  if (queue.length === 0 && sending.length === 0) return null;
  return (
    <section className={css.queue} aria-label="Queued messages" data-testid="queue">
      <ol>
        {queue.map((row) => (
          <Queued key={row.id} session={session} row={row} />
        ))}
        {sending.map((item) => (
          <li key={item.clientId} className={css.item} data-state="sending">
            <Spinner />
            <span className={css.words}>{item.text}</span>
            <span className={css.note}>sending…</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Queued({ session, row }: { session: SessionStore; row: UserRow }) {
  const [editing, setEditing] = useState(false);
  const [busy, setBusy] = useState(false);
  const during = async (work: Promise<boolean>) => {
    setBusy(true);
    const done = await work;
    setBusy(false);
    return done;
  };
  if (editing)
    return (
      <li className={css.item} data-state="editing">
        <Editor
          text={textOf(row.content)}
          busy={busy}
          onSave={async (text) => {
            if (await during(session.editQueued(row, text))) setEditing(false);
          }}
          onCancel={() => setEditing(false)}
        />
      </li>
    );
  const text = textOf(row.content) || "An image";
  return (
    <li className={css.item} data-testid="queued" data-id={row.id}>
      <Icon name="clock" />
      <span className={css.words}>{text}</span>
      {row.edited && <span className={css.note}>edited</span>}
      <span className={css.actions}>
        <Button
          look="quiet"
          disabled={busy}
          aria-label={`Send now: ${text}`}
          title="Stops the running turn; this message runs at once"
          data-testid="queued-now"
          onClick={() => background(during(session.sendQueuedNow(row)))}
        >
          <Icon name="send" />
          <span className={css.now}>Send now</span>
        </Button>
        <Button
          look="quiet"
          disabled={busy}
          aria-label={`Edit: ${text}`}
          data-testid="queued-edit"
          onClick={() => setEditing(true)}
        >
          <Icon name="pencil" />
        </Button>
        <Button
          look="quiet"
          disabled={busy}
          aria-label={`Remove: ${text}`}
          data-testid="queued-remove"
          onClick={() => background(during(session.removeQueued(row)))}
        >
          <Icon name="cross" />
        </Button>
      </span>
    </li>
  );
}

interface EditorProps {
  text: string;
  busy: boolean;
  onSave: (text: string) => void;
  onCancel: () => void;
}

function Editor({ text: before, busy, onSave, onCancel }: EditorProps) {
  const [text, setText] = useState(before);
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => field.current?.focus(), []);
  const blank = text.trim() === "";
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      onCancel();
    }
    if (event.key !== "Enter" || event.shiftKey || blank) return;
    event.preventDefault();
    onSave(text);
  };
  return (
    <form
      className={css.editor}
      onSubmit={(event) => {
        event.preventDefault();
        if (!blank) onSave(text);
      }}
    >
      <textarea
        ref={field}
        rows={1}
        aria-label="Edit the queued message"
        data-testid="queued-text"
        value={text}
        disabled={busy}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <Button look="primary" type="submit" disabled={busy || blank} data-testid="queued-save">
        Save
      </Button>
      <Button look="quiet" disabled={busy} onClick={onCancel}>
        Cancel
      </Button>
    </form>
  );
}
