import type { Session, Status } from "@holdfast/protocol";
import type { Activity } from "../../state/activity.ts";
import type { SessionView } from "../../state/session-store.ts";
import { Button } from "../../ui/button.tsx";
import { useNow } from "../../ui/clock.ts";
import { formatCost, formatElapsed } from "../../ui/format.ts";
import { Icon, type IconName } from "../../ui/icons.tsx";
import { titleOf } from "../sessions/session-words.ts";
import css from "./header.module.css";
import { SessionMenu } from "./session-menu.tsx";

export interface HeaderProps {
  session: Session | undefined;
  view: SessionView | null;
  status: Status | null;
  isNew: boolean;
  /** Null: not known yet. */
  permissionMode?: string | null;
  onPermissionMode?: (mode: string) => void;
  onMenu: () => void;
  onSettings: () => void;
}

export function Header(props: HeaderProps) {
  const { session, view, status, isNew, permissionMode = null, onPermissionMode, onMenu, onSettings } = props;
  const mode = status?.model.mode;
  return (
    <header className={css.header}>
      <Button look="quiet" className={css.menu} aria-label="Sessions" data-testid="menu" onClick={onMenu}>
        <Icon name="menu" />
      </Button>
      <h1 className={css.title}>{isNew ? "New session" : titleOf(session)}</h1>
      <div className={css.facts}>
        {view && <StatePill activity={view.activity} stopping={view.stopping} asks={view.questions.length > 0} />}
        {mode && (
          <span className={css.pill} data-testid="model-mode" data-mode={mode}>
            {mode === "scripted" ? "Scripted demo" : "Claude"}
          </span>
        )}
        {permissionMode !== null && onPermissionMode && (
          <ModeSelect mode={permissionMode} onChange={onPermissionMode} />
        )}
        {session && (
          <span className={css.cost} data-testid="cost" title="Cost of this session">
            {formatCost(session.holdfast.cost_usd)}
          </span>
        )}
      </div>
      {session && <SessionMenu sessionId={session.id} />}
      <Button look="quiet" aria-label="Settings" data-testid="settings" onClick={onSettings}>
        <Icon name="settings" />
      </Button>
    </header>
  );
}

const outcomes: Record<NonNullable<Activity["outcome"]>, [IconName, string]> = {
  completed: ["check", "Idle"],
  stopped: ["stop", "Stopped"],
  failed: ["cross", "Failed"],
  interrupted: ["warning", "Cut off"],
  limit: ["warning", "Limit reached"],
  terminated: ["stop", "Ended"],
};

function StatePill({ activity, stopping, asks }: { activity: Activity; stopping: boolean; asks: boolean }) {
  const now = useNow(activity.working);
  const working = asks ? (["warning", "Waits for you"] as const) : (["dot", "Working"] as const);
  const [icon, word] = activity.working ? working : outcomes[activity.outcome ?? "completed"];
  const elapsed = activity.since && now > 0 ? now - Date.parse(activity.since) : 0;
  const words = activity.working && stopping ? "Stopping" : word;
  return (
    <span
      className={css.pill}
      data-testid="state"
      data-state={activity.working ? (asks ? "asks" : "working") : (activity.outcome ?? "idle")}
      title={activity.doing ?? undefined}
    >
      <Icon name={icon} /> {words}
      {activity.working && elapsed >= 1_000 ? ` ${formatElapsed(elapsed)}` : ""}
    </span>
  );
}

const modes = {
  plan: "Plan",
  default: "Ask",
  acceptEdits: "Accept edits",
  dontAsk: "Refuse",
  bypassPermissions: "Allow all",
};

/** What Claude may do without asking. It goes into plan mode by itself, too. */
function ModeSelect({ mode, onChange }: { mode: string; onChange: (mode: string) => void }) {
  return (
    <select
      className={css.pill}
      aria-label="Permission mode"
      data-testid="permission-mode"
      value={mode}
      onChange={(event) => onChange(event.target.value)}
    >
      {Object.entries({ [mode]: mode, ...modes }).map(([name, words]) => (
        <option key={name} value={name}>
          {words}
        </option>
      ))}
    </select>
  );
}
