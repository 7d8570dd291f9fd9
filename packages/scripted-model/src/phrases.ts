/** The answer to everything the script does not understand: it must never pass for a model. */
export const ABILITIES = `I am a **scripted demo, not Claude**: no model is connected, and I understand only a few plain requests. The tools I use are real, though, and so are the files and commands in this sandbox. Try one of these:

- \`Create a file hello.txt that says hello, then run ls -la\`
- \`Append "one more line" to hello.txt\`, \`Replace hello with goodbye in hello.txt\`, \`Delete hello.txt\`
- \`Make a directory notes\`, \`List the files\`, \`Read hello.txt\`, \`Run uname -a\`
- several steps joined by "then", or as a numbered list
- \`Fail on purpose\`, \`Think about the sea\`, \`Count slowly to 50\`, \`Write a long answer of 400 words\`, \`Show a markdown sample\`

To talk to Claude instead, add an Anthropic API key: in the settings page, or as \`ANTHROPIC_API_KEY\` in the environment before Holdfast starts. It takes effect with the next message.`;

export const MARKDOWN_SAMPLE = `# Markdown sample

Some **bold**, some *italic*, some ~~struck~~ text, \`inline code\` and a [link](https://example.com/).

## A list

1. First
2. Second
   - nested
   - [x] done
   - [ ] not done

## A table

| Name | Value | Note |
| :--- | ----: | :--: |
| one  |     1 | left |
| two  |    22 | right |

## Code

\`\`\`ts
export function greet(name: string): string {
  return \`Hello, \${name}!\`;
}
\`\`\`

> A quotation, with a second line
> and the end of it.

---

The last line, with an emoji 🚀 and <b>HTML that must stay text</b>.`;

const SENTENCES = [
  "This text is written by a script, so that a long answer can be watched as it arrives.",
  "It has no meaning beyond its length, and it says so.",
  "A reader may scroll up while it grows, stop it in the middle, or reload the page.",
  "None of that should lose a word that was already committed.",
  "Some sentences are short.",
  "Others go on for a while, with a comma here, another there, and a clause at the end that nobody asked for.",
];

/** Exactly `words` words in paragraphs; the paragraphs are numbered so that a gap is visible. */
export function longText(words: number): string {
  const body = SENTENCES.join(" ").split(" ");
  const paragraphs: string[] = [];
  for (let left = words; left > 0; ) {
    const paragraph = ["Paragraph", `${paragraphs.length + 1}:`, ...body].slice(0, left);
    left -= paragraph.length;
    paragraphs.push(paragraph.join(" "));
  }
  return paragraphs.join("\n\n");
}

/** "1, 2, 3, …": one piece per number. */
export function numberParts(to: number): string[] {
  return Array.from({ length: to }, (_, i) => (i + 1 === to ? `${to}.` : `${i + 1}, `));
}
