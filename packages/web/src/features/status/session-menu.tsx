import { useId, useRef } from "react";
import { Button } from "../../ui/button.tsx";
import { Icon } from "../../ui/icons.tsx";
import css from "./session-menu.module.css";

/** What one rarely wants of a session. A popover of the browser's own: Esc and a click elsewhere close it. */
export function SessionMenu({ sessionId }: { sessionId: string }) {
  const id = useId();
  const menu = useRef<HTMLDivElement>(null);
  const raw = `/v1/sessions/${encodeURIComponent(sessionId)}/raw`;
  const close = () => menu.current?.hidePopover();
  return (
    <>
      <Button look="quiet" aria-label="More" popoverTarget={id} data-testid="session-menu">
        <Icon name="more" />
      </Button>
      <div ref={menu} id={id} popover="auto" className={css.menu}>
        <a href={raw} download={`${sessionId}.ndjson`} data-testid="raw" onClick={close}>
          Download what Claude Code wrote
          <span>One line each as NDJSON; images and whole files clipped</span>
        </a>
        <a href={`${raw}?full=1`} download={`${sessionId}.full.ndjson`} data-testid="raw-full" onClick={close}>
          Download it untouched
          <span>Everything, also images and whole files</span>
        </a>
      </div>
    </>
  );
}
