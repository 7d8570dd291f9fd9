import type { AppStore } from "../../state/app-store.ts";
import { background } from "../../state/background.ts";
import { liveFrom } from "../../state/live-list.ts";
import { Button } from "../../ui/button.tsx";
import { useNow } from "../../ui/clock.ts";
import { formatAgo } from "../../ui/format.ts";
import { Icon } from "../../ui/icons.tsx";
import { useCell } from "../../ui/use-cell.ts";
import { stateOf, titleOf } from "./session-words.ts";
import css from "./sessions-list.module.css";

const newSession = "#/new";

export interface SessionsListProps {
  store: AppStore;
  currentId: string | null;
  /** Told after a choice: a drawer closes then. */
  onChosen: () => void;
}

export function SessionsList({ store, currentId, onChosen }: SessionsListProps) {
  const list = useCell(store.list);
  const live = useCell(store.live);
  const minute = useNow(true, 60_000) + 60_000;
  return (
    <div className={css.list}>
      <a href={newSession} className={css.new} data-testid="new-session" onClick={onChosen}>
        <Icon name="plus" /> New session
      </a>
      {list.problem && (
        <div className={css.problem}>
          <p>{list.problem}</p>
          <Button onClick={() => background(store.refreshList())}>Try again</Button>
        </div>
      )}
      {list.phase === "ready" && list.sessions.length === 0 && <p className={css.none}>No sessions yet</p>}
      <ul className={css.items}>
        {list.sessions.map((session) => {
          const now = live.get(session.id) ?? liveFrom(session);
          const state = stateOf(now);
          const current = session.id === currentId;
          return (
            <li key={session.id}>
              <a
                href={`#/sessions/${session.id}`}
                className={css.item}
                data-testid="session-item"
                data-id={session.id}
                data-state={state.state}
                aria-current={current ? "page" : undefined}
                onClick={onChosen}
              >
                <span className={css.title}>{titleOf({ title: now.title })}</span>
                <span className={css.state} data-testid="session-state">
                  <Icon name={state.icon} /> {state.word}
                  {state.state !== "asks" && ` · ${formatAgo(session.updated_at, minute)}`}
                </span>
              </a>
            </li>
          );
        })}
      </ul>
      {list.nextPage && (
        <Button look="quiet" onClick={() => background(store.moreSessions())}>
          Show older sessions
        </Button>
      )}
    </div>
  );
}
