import { type Command, helpOption, type OptionSpec } from "./command.ts";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** A script that completes commands, options and their choices, all known beforehand: it asks nobody. */
export function completionFor(shell: Shell, commands: readonly Command[]): string {
  if (shell === "bash") return bash(commands);
  if (shell === "zsh") return zsh(commands);
  return fish(commands);
}

const optionsOf = (command: Command): [string, OptionSpec][] =>
  Object.entries({ ...command.options, help: helpOption });

/** First words, and the second words of those that have some. */
function words(commands: readonly Command[]) {
  const first = new Map<string, string[]>();
  for (const { name } of commands) {
    const [head = "", second] = name.split(" ");
    first.set(head, [...(first.get(head) ?? []), ...(second === undefined ? [] : [second])]);
  }
  return first;
}

/** `queue edit` before `queue`, whose pattern takes what follows it, too. */
const byLength = (commands: readonly Command[]) => commands.toSorted((a, b) => b.name.length - a.name.length);

const argumentChoices = (command: Command) => command.args.flatMap((arg) => (arg.includes("|") ? arg.split("|") : []));

function bash(commands: readonly Command[]): string {
  const first = words(commands);
  const nouns = [...first].filter(([, seconds]) => seconds.length > 0);
  const flags = byLength(commands).map((command) => {
    const names = optionsOf(command).flatMap(([name, { short }]) => [`--${name}`, ...(short ? [`-${short}`] : [])]);
    const also = nouns.some(([noun]) => noun === command.name) ? ` | "${command.name} "*` : "";
    return `    "${command.name}"${also}) words="${[...names, ...argumentChoices(command)].join(" ")}" ;;`;
  });
  return `# holdfast completion for bash: eval "$(holdfast completion bash)"
_holdfast() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" words="" command="\${COMP_WORDS[1]}"
  case "$prev" in
    -o | --output) COMPREPLY=($(compgen -W "text json" -- "$cur")); return ;;
    --data-dir) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    --bundle) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${[...first.keys()].join(" ")}" -- "$cur")); return
  fi
  case "$command" in
${nouns.map(([noun, seconds]) => `    ${noun}) if [ "$COMP_CWORD" -eq 2 ] && [ "\${cur#-}" = "$cur" ]; then COMPREPLY=($(compgen -W "${seconds.join(" ")}" -- "$cur")); return; fi; command="${noun} \${COMP_WORDS[2]}" ;;`).join("\n")}
  esac
  case "$command" in
${flags.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _holdfast holdfast`;
}

const quoteZsh = (text: string) =>
  text
    .replaceAll("'", "'\\''")
    .replace(/[[\]:]/g, "\\$&")
    .split("\n")[0] ?? "";

function zsh(commands: readonly Command[]): string {
  const first = words(commands);
  const summary = (name: string) => quoteZsh(commands.find((command) => command.name === name)?.summary ?? `${name} …`);
  const nouns = [...first].filter(([, seconds]) => seconds.length > 0);
  const cases = byLength(commands).map((command) => {
    const specs = optionsOf(command).map(([name, spec]) => {
      const value = spec.value === undefined ? "" : `:${spec.value}:${zshValue(name, spec)}`;
      return `'--${name}[${quoteZsh(spec.help)}]${value}'`;
    });
    const choices = argumentChoices(command);
    const rest = choices.length > 0 ? ` '*:argument:(${choices.join(" ")})'` : "";
    const also = nouns.some(([noun]) => noun === command.name) ? ` | '${command.name} '*` : "";
    return `    '${command.name}'${also}) _arguments ${specs.join(" ")}${rest} ;;`;
  });
  return `#compdef holdfast
# holdfast completion for zsh: put this into a file named _holdfast in a directory of $fpath.
_holdfast() {
  local command="$words[2]"
  if (( CURRENT == 2 )); then
    local -a all=(${[...first.keys()].map((name) => `'${name}:${summary(name)}'`).join(" ")})
    _describe command all; return
  fi
  case "$command" in
${nouns.map(([noun, seconds]) => `    ${noun}) if (( CURRENT == 3 )); then local -a all=(${seconds.map((second) => `'${second}:${summary(`${noun} ${second}`)}'`).join(" ")}); _describe command all; return; fi; command="${noun} $words[3]"; shift words; (( CURRENT-- )) ;;`).join("\n")}
  esac
  shift words; (( CURRENT-- ))
  case "$command" in
${cases.join("\n")}
  esac
}
# Read by \`source\` or \`eval\`, it registers itself; as an autoloaded file it is the function's body.
if [ "$funcstack[1]" = _holdfast ]; then _holdfast "$@"; else compdef _holdfast holdfast; fi`;
}

function zshValue(name: string, spec: OptionSpec): string {
  if (spec.choices !== undefined) return `(${spec.choices.join(" ")})`;
  if (name === "data-dir") return "_files -/";
  return name === "bundle" ? "_files" : " ";
}

const quoteFish = (text: string) => `'${text.replace(/[\\']/g, "\\$&").split("\n")[0] ?? ""}'`;

function fish(commands: readonly Command[]): string {
  const lines = ["# holdfast completion for fish", "complete -c holdfast -f"];
  for (const [head, seconds] of words(commands)) {
    const about = commands.find(({ name }) => name === head)?.summary ?? `${head}: ${seconds.join(", ")}`;
    lines.push(`complete -c holdfast -n __fish_use_subcommand -a ${head} -d ${quoteFish(about)}`);
  }
  for (const command of commands) {
    const [head = "", second] = command.name.split(" ");
    if (second !== undefined)
      lines.push(
        `complete -c holdfast -n '__fish_seen_subcommand_from ${head}; and test (count (commandline -opc)) -eq 2' -a ${second} -d ${quoteFish(command.summary)}`,
      );
    const when =
      second === undefined
        ? `__fish_seen_subcommand_from ${head}`
        : `__fish_seen_subcommand_from ${head}; and __fish_seen_subcommand_from ${second}`;
    for (const [name, spec] of optionsOf(command)) {
      const short = spec.short === undefined ? "" : ` -s ${spec.short}`;
      const files = name === "data-dir" || name === "bundle" ? " -F" : "";
      const value =
        spec.value === undefined ? "" : ` -r${spec.choices === undefined ? files : ` -a '${spec.choices.join(" ")}'`}`;
      lines.push(`complete -c holdfast -n '${when}' -l ${name}${short}${value} -d ${quoteFish(spec.help)}`);
    }
    for (const choice of argumentChoices(command)) lines.push(`complete -c holdfast -n '${when}' -a ${choice}`);
  }
  return lines.join("\n");
}
