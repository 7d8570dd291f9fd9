/** Words of the shell itself, in dash or bash: no package brings them. */
const builtins = new Set(
  `. : [ [[ alias bg break case cd command compadd compdef compgen complete continue declare do done echo elif else
  esac eval exit export false fg fi for function getopts hash if in jobs kill let local printf pwd read readonly return
  set shift source test then time times trap true type typeset ulimit umask unalias unset until wait while { } ! ]]`.split(
    /\s+/,
  ),
);

/** After these comes a command again. */
const passing = new Set([
  "if",
  "elif",
  "while",
  "until",
  "then",
  "else",
  "do",
  "!",
  "{",
  "time",
  "exec",
  "command",
  "(",
]);

/** The programs that a piece of shell calls, as far as they stand there by name. */
export function shellPrograms(script: string): string[] {
  const found: string[] = [];
  const text = withoutHereDocuments(script)
    .replaceAll("\\\n", " ")
    .replace(/\$\(\([^)]*\)\)/g, "X");
  const functions = new Set(shellFunctions(text));
  // What is quoted is no command, but what is substituted in it is one.
  for (const inner of text.matchAll(/\$\(((?:[^()]|\([^()]*\))*)\)/g)) found.push(...shellPrograms(inner[1] ?? ""));
  const plain = text
    .replace(/\$\(((?:[^()]|\([^()]*\))*)\)/g, "X")
    .replace(/'[^']*'/g, "X")
    .replace(/"(?:[^"\\]|\\.)*"/g, "X")
    .replace(/(^|\s)#.*$/gm, "$1")
    .replace(/\$\{[^}]*\}/g, "X")
    .replace(/^[ \t]*[^\n()]*\)(?=[ \t\n])/gm, (pattern) => (/^[ \t]*[\w*.X|\- ]+\)$/.test(pattern) ? "" : pattern))
    .replace(/\bin [\w*.X|\- ]+\)/g, "in ;")
    .replace(/;;\s*[\w*.X|\- ]+\)/g, ";")
    .replace(/\b[A-Za-z_]\w*\+?=\([^)]*\)/g, "X=1");
  for (const command of plain.split(/\|\||&&|[;|&\n(]/)) {
    const program = commandOf(command.trim().split(/\s+/));
    if (program !== undefined && !functions.has(program)) found.push(program);
  }
  return [...new Set(found)];
}

/** The names of the functions that it defines. */
export function shellFunctions(script: string): string[] {
  return [...script.matchAll(/^\s*([A-Za-z_]\w*)\s*\(\)/gm)].map((match) => match[1] ?? "");
}

function commandOf(words: string[]): string | undefined {
  const rest = [...words];
  for (;;) {
    const word = rest.shift();
    if (word === undefined) return undefined;
    // Assignments and redirections may stand before the command; a pattern of `case` ends with a bracket.
    if (passing.has(word) || /^[A-Za-z_]\w*\+?=/.test(word) || /^\d*[<>]/.test(word) || word.endsWith(")")) continue;
    if (builtins.has(word)) return undefined;
    return /^[a-z][a-z0-9._+-]*$/.test(word) ? word : undefined;
  }
}

function withoutHereDocuments(script: string): string {
  return script.replace(/<<-?\s*'?(\w+)'?[^\n]*\n[\s\S]*?\n\s*\1(?=\n|$)/g, "\n");
}
