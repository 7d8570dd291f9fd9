import type { AppStore } from "../../state/app-store.ts";
import { background } from "../../state/background.ts";
import type { SessionStore } from "../../state/session-store.ts";
import { Button } from "../../ui/button.tsx";
import { useNow } from "../../ui/clock.ts";
import { formatElapsed } from "../../ui/format.ts";
import { Icon, Spinner } from "../../ui/icons.tsx";
import { useCell } from "../../ui/use-cell.ts";
import css from "./banners.module.css";

/** What the reader must know before reading anything else. */
export function StatusBanners({ store, onAddKey }: { store: AppStore; onAddKey: () => void }) {
  const status = useCell(store.status);
  const problem = useCell(store.statusProblem);
  if (problem)
    return (
      <section aria-label="Notices">
        <div className={css.banner} data-level="error" data-testid="banner-status">
          <Icon name="cross" />
          <span>{problem}</span>
          <Button onClick={() => background(store.refreshStatus())}>Try again</Button>
        </div>
      </section>
    );
  if (!status) return null;
  const { image, storage } = status;
  return (
    <section aria-label="Notices">
      {status.model.mode === "scripted" && (
        <div className={css.banner} data-level="warning" data-testid="banner-scripted">
          <Icon name="warning" />
          <span>
            <strong>Scripted demo, not Claude.</strong>
            <span className={css.aside}> Answers come from a script.</span>
          </span>
          <button type="button" className={css.link} data-testid="add-key" onClick={onAddKey}>
            Add a key
          </button>
        </div>
      )}
      {image.state !== "ready" && (
        <div className={css.banner} data-level={image.state === "failed" ? "error" : "info"} data-testid="banner-image">
          {image.state === "failed" ? <Icon name="cross" /> : <Spinner />}
          <span>
            {image.state === "failed"
              ? "The sandbox image could not be built. The next message tries again."
              : "Building the sandbox image; messages sent now wait for it."}
          </span>
          {image.detail && <code className={css.detail}>{image.detail}</code>}
        </div>
      )}
      {storage.state === "off" && (
        <p className={css.small} data-testid="storage-off">
          S3 not configured: {storage.reason ?? "no reason was given"}
        </p>
      )}
    </section>
  );
}

/** Always there for tests and screen readers; visible only while the page is not up to date. */
export function ConnectionNote({ session }: { session: SessionStore }) {
  const connection = useCell(session.connection);
  const lost = connection.state === "reconnecting";
  const now = useNow(lost);
  const agoMs = connection.lastFrameMs > 0 && now > 0 ? now - connection.lastFrameMs : 0;
  return (
    <div className={css.connection} data-testid="connection" data-state={connection.state} role="alert">
      {lost && (
        <p className={css.reconnecting}>
          <Icon name="warning" />
          <span>
            Reconnecting… nothing is lost.
            <span aria-hidden="true">{agoMs >= 1_000 ? ` Last update ${formatElapsed(agoMs)} ago.` : ""}</span>
          </span>
        </p>
      )}
    </div>
  );
}

/** Failures of requests, kept until they are dismissed. */
export function Problems({ store }: { store: AppStore }) {
  const problems = useCell(store.problems);
  return (
    <div role="alert" className={css.problems} data-testid="problems">
      {problems.map((problem) => (
        <div key={problem.id} className={css.banner} data-level="error">
          <Icon name="cross" />
          <span>{problem.text}</span>
          <Button look="quiet" aria-label="Dismiss" onClick={() => store.dismiss(problem.id)}>
            <Icon name="cross" />
          </Button>
        </div>
      ))}
    </div>
  );
}
