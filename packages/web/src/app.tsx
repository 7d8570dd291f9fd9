import { useEffect, useRef, useState } from "react";
import { useHashLocation } from "wouter/use-hash-location";
import css from "./app.module.css";
import { Composer } from "./features/composer/composer.tsx";
import { Queue } from "./features/composer/queue.tsx";
import { Login } from "./features/login/login.tsx";
import { goToQuestion } from "./features/questions/go-to-question.ts";
import { titleFor, titleOf } from "./features/sessions/session-words.ts";
import { SessionsList } from "./features/sessions/sessions-list.tsx";
import { SettingsDialog } from "./features/settings/settings-dialog.tsx";
import { Announcer } from "./features/status/announcer.tsx";
import { ConnectionNote, Problems, StatusBanners } from "./features/status/banners.tsx";
import { Header } from "./features/status/header.tsx";
import { Transcript } from "./features/transcript/transcript.tsx";
import type { AppStore } from "./state/app-store.ts";
import { background } from "./state/background.ts";
import type { SessionStore } from "./state/session-store.ts";
import { Button } from "./ui/button.tsx";
import { useCell } from "./ui/use-cell.ts";

/** Addresses stand behind `#`: any server that serves the files serves every page. */
export function App({ store }: { store: AppStore }) {
  const auth = useCell(store.auth);
  if (auth === "out") return <Login store={store} />;
  return <Page store={store} />;
}

const sessionIn = (location: string) => /^\/sessions\/([0-9A-Za-z_-]+)$/.exec(location)?.[1] ?? null;

function Page({ store }: { store: AppStore }) {
  const [location, navigate] = useHashLocation();
  const status = useCell(store.status);
  const list = useCell(store.list);
  const session = useCell(store.session);
  const [settings, setSettings] = useState(false);
  const [drawer, setDrawer] = useState(false);
  const id = sessionIn(location);
  const newest = list.sessions[0]?.id;
  const choosing = id === null && location !== "/new";

  useEffect(() => {
    if (choosing && newest) navigate(`/sessions/${newest}`, { replace: true });
  }, [choosing, newest, navigate]);
  useEffect(() => store.open(id), [store, id]);

  const start = async (text: string) => {
    const created = await store.createSession(titleFor(text));
    if (!created) return;
    store.open(created.id);
    store.session.get()?.send(text);
    navigate(`/sessions/${created.id}`);
  };
  const openSettings = () => setSettings(true);
  const listed = list.sessions.find((entry) => entry.id === id);
  const current = session && session.id === id ? session : null;
  return (
    <div className={css.page}>
      <button type="button" className={css.skip} onClick={focusComposer}>
        Skip to the message field
      </button>
      <aside className={css.side} aria-label="Sessions">
        <SessionsList store={store} currentId={id} onChosen={() => setDrawer(false)} />
      </aside>
      {drawer && (
        <Drawer onClose={() => setDrawer(false)}>
          <SessionsList store={store} currentId={id} onChosen={() => setDrawer(false)} />
        </Drawer>
      )}
      <div className={css.main}>
        {current ? (
          <SessionHeader store={store} session={current} onMenu={() => setDrawer(true)} onSettings={openSettings} />
        ) : (
          <Header
            session={listed}
            view={null}
            status={status}
            isNew={id === null}
            onMenu={() => setDrawer(true)}
            onSettings={openSettings}
          />
        )}
        <StatusBanners store={store} onAddKey={openSettings} />
        <main className={css.conversation}>
          {current ? (
            <Conversation key={current.id} store={store} session={current} />
          ) : (
            <>
              <div className={css.emptyFrame}>
                {choosing && list.phase === "loading" ? null : <Welcome onStart={(text) => background(start(text))} />}
              </div>
              <Problems store={store} />
              <Composer
                key="new"
                draftKey="new"
                working={false}
                stopping={false}
                onSend={(text) => background(start(text))}
                onStop={() => undefined}
              />
            </>
          )}
        </main>
      </div>
      {settings && <SettingsDialog store={store} onClose={() => setSettings(false)} />}
    </div>
  );
}

function focusComposer() {
  document.querySelector<HTMLElement>("[data-testid=composer]")?.focus();
}

interface SessionHeaderProps {
  store: AppStore;
  session: SessionStore;
  onMenu: () => void;
  onSettings: () => void;
}

function SessionHeader({ store, session, onMenu, onSettings }: SessionHeaderProps) {
  const view = useCell(session.view);
  const status = useCell(store.status);
  const entry = useCell(store.list).sessions.find(({ id }) => id === session.id);
  const now = useCell(store.live).get(session.id);
  const listed = entry && now ? { ...entry, title: now.title } : entry;
  const title = titleOf(listed);
  const { working } = view.activity;
  const asks = view.questions.length > 0;
  useEffect(() => {
    document.title = `${asks ? "Answer needed · " : working ? "● " : ""}${title} · Holdfast`;
    return () => {
      document.title = "Holdfast";
    };
  }, [title, working, asks]);
  return (
    <Header
      session={listed}
      view={view}
      status={status}
      isNew={false}
      permissionMode={now?.permissionMode ?? null}
      onPermissionMode={(mode) => background(store.setPermissionMode(session.id, mode))}
      onMenu={onMenu}
      onSettings={onSettings}
    />
  );
}

function Conversation({ store, session }: { store: AppStore; session: SessionStore }) {
  const view = useCell(session.view);
  useQuestionKey();
  const ended = view.activity.outcome === "terminated";
  return (
    <>
      {view.phase === "failed" && (
        <div className={css.failed} role="alert">
          <p>{view.problem}</p>
          <Button onClick={() => background(session.load())}>Try again</Button>
        </div>
      )}
      {view.phase === "loading" && <p className={css.loading}>Reading the conversation…</p>}
      <Transcript session={session} empty={<Welcome onStart={(text) => session.send(text)} />} />
      <ConnectionNote session={session} />
      <Problems store={store} />
      <Queue session={session} view={view} />
      <Composer
        draftKey={session.id}
        working={view.activity.working}
        stopping={view.stopping}
        disabled={ended}
        onSend={(text) => session.send(text)}
        onStop={() => background(session.stop())}
      />
      <Announcer view={view} />
    </>
  );
}

/** Alt+P goes to the question that waits, from wherever one is. */
function useQuestionKey(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      // By its place: with Alt, some layouts write another letter.
      if (event.altKey && event.code === "KeyP" && goToQuestion()) event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

const starters = [
  "Create a file hello.txt that says hello, then run ls -la",
  "List the files here and say what they are for",
  "Write a small script in three steps, with a todo list",
];

function Welcome({ onStart }: { onStart: (text: string) => void }) {
  return (
    <div className={css.welcome} data-testid="welcome">
      <h2>What should Claude do?</h2>
      <p>It works in a sandbox of its own; the files it makes stay in your workspace.</p>
      <ul>
        {starters.map((text) => (
          <li key={text}>
            <Button className={css.starter} onClick={() => onStart(text)}>
              {text}
            </Button>
          </li>
        ))}
      </ul>
    </div>
  );
}

function Drawer({ onClose, children }: { onClose: () => void; children: React.ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Esc closes a dialog by itself
    <dialog
      ref={ref}
      className={css.drawer}
      aria-label="Sessions"
      data-testid="drawer"
      onClose={onClose}
      onClick={(event) => {
        if (event.target === event.currentTarget) onClose();
      }}
    >
      <div className={css.drawerBody}>{children}</div>
    </dialog>
  );
}
