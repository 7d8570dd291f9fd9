import { Component, memo, type ReactNode } from "react";
import type { Row } from "../../state/rows.ts";
import { QuestionRowView } from "../questions/question-row.tsx";
import { ErrorRowView, InitRowView, NoticeRowView, OtherRowView, RawRow, ResultRowView } from "./event-rows.tsx";
import { PendingRowView, TextRowView, ThinkingRowView, UserRowView } from "./message-rows.tsx";
import css from "./rows.module.css";
import { StepsRowView } from "./steps-row.tsx";
import { ToolRowView } from "./tool-row.tsx";

/** One row. Renders again only when its own data changes. */
export const RowView = memo(function RowView({ row }: { row: Row }) {
  return (
    <div className={css.row} data-row={row.id} data-nested={row.nested || undefined}>
      <RowBoundary row={row}>
        <RowContent row={row} />
      </RowBoundary>
    </div>
  );
});

function RowContent({ row }: { row: Row }) {
  switch (row.kind) {
    case "user":
      return <UserRowView row={row} />;
    case "pending":
      return <PendingRowView row={row} />;
    case "text":
      return <TextRowView row={row} />;
    case "thinking":
      return <ThinkingRowView row={row} />;
    case "tool":
      return <ToolRowView row={row} />;
    case "init":
      return <InitRowView row={row} />;
    case "result":
      return <ResultRowView row={row} />;
    case "error":
      return <ErrorRowView row={row} />;
    case "notice":
      return <NoticeRowView row={row} />;
    case "steps":
      return <StepsRowView row={row} />;
    case "question":
      return <QuestionRowView row={row} />;
    case "other":
      return <OtherRowView row={row} />;
  }
}

interface BoundaryProps {
  row: Row;
  children: ReactNode;
}

/** An event that no renderer can bear is shown raw; the rest of the page goes on. */
class RowBoundary extends Component<BoundaryProps, { failed: boolean; row: Row }> {
  override state = { failed: false, row: this.props.row };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  /** New data is tried again. */
  static getDerivedStateFromProps(props: BoundaryProps, state: { failed: boolean; row: Row }) {
    return props.row === state.row ? null : { failed: false, row: props.row };
  }

  override render(): ReactNode {
    const { row, children } = this.props;
    return this.state.failed ? <RawRow id={row.id} title={row.kind} value={row} /> : children;
  }
}
