import css from "./icons.module.css";

/** Drawn here: a page that works everywhere cannot rely on an emoji font. 16 by 16, in the colour of the text. */
const paths = {
  wrench:
    "M13.8 4.2a3.6 3.6 0 0 1-4.9 4.4L4.6 12.9a1.2 1.2 0 0 1-1.7-1.7l4.4-4.3a3.6 3.6 0 0 1 4.5-4.8L9.7 4.2l.3 1.9 1.9.3z",
  check: "M3 8.5 6.4 12 13 4.5",
  cross: "M4 4l8 8M12 4l-8 8",
  rocket:
    "M9.2 2.6c2-1 3.7-1 4.2-.9.1.5.1 2.2-.9 4.2-.8 1.5-2.3 3.1-4.7 4.3L5.7 8.1c1.1-2.3 2-4.6 3.5-5.5zM5.7 8.1 3 8.3l1.5-2.4 2.2-.3M7.9 10.3 7.7 13l2.4-1.5.3-2.2M2.5 13.5c0-1.5.6-2.3 1.6-2.6",
  chevron: "M6 3.5 10.5 8 6 12.5",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  settings: "M2.5 5h6M12 5h1.5M2.5 11H5M8.5 11h5M10.3 3.2v3.6M6.7 9.2v3.6",
  stop: "M4.5 4.5h7v7h-7z",
  send: "M8 13V3.5M3.8 7.5 8 3.3l4.2 4.2",
  pencil: "M3 13l.7-3L10.6 3.1a1.3 1.3 0 0 1 1.9 0l.4.4a1.3 1.3 0 0 1 0 1.9L6 12.3z",
  clock: "M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8zM8 4.5V8l2.3 1.6",
  more: "M8 3.5v.2M8 8v.2M8 12.4v.2",
  plus: "M8 3v10M3 8h10",
  warning: "M8 2.2 14.3 13.3H1.7zM8 6.5v3.3M8 11.4v.2",
  info: "M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8zM8 7.3v3.7M8 4.9v.2",
  circle: "M8 2.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 8 2.8z",
  dot: "M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6z",
  bulb: "M6 12.5h4M6.7 14.5h2.6M8 1.7a4.3 4.3 0 0 1 2.5 7.8c-.4.3-.6.7-.6 1.2H6.1c0-.5-.2-.9-.6-1.2A4.3 4.3 0 0 1 8 1.7z",
  down: "M8 3v9.5M3.8 8.3 8 12.5l4.2-4.2",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  const filled = name === "dot" || name === "stop";
  return (
    <svg className={css.icon} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={paths[name]} data-filled={filled || undefined} />
    </svg>
  );
}

/** A drawn icon that reads, copies and searches as the emoji that it stands for. */
export function Emoji({ char, icon }: { char: string; icon: IconName }) {
  return (
    <span className={css.emoji}>
      <Icon name={icon} />
      <span className={css.char}>{char}</span>
    </span>
  );
}

export function Spinner() {
  return (
    <svg className={css.spinner} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d="M8 2a6 6 0 1 1-6 6" />
    </svg>
  );
}
