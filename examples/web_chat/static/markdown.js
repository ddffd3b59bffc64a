// The Markdown that models write most, as elements: headings, lists, quotes, code, emphasis, links.
// Text reaches the page as text nodes only, never as HTML, so nothing of a model's runs. Images are
// not loaded: their addresses could carry the conversation to somebody else's server.

const INLINE = /(`+)(.+?)\1(?!`)|\*\*(\S(?:.*?\S)?)\*\*|\*(\S(?:.*?\S)?)\*|\[([^[\]]+)\]\((https?:\/\/[^\s()]+)\)/;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^(#{1,6}) +(.*)$/;
const BULLET = /^\s*[-*+] +(.*)$/;
const NUMBERED = /^\s*(\d{1,9})[.)] +(.*)$/;
const QUOTE = /^ {0,3}> ?(.*)$/;

/** Return Markdown as elements; an answer that is still being written is Markdown too. */
export function render(text) {
  const fragment = document.createDocumentFragment();
  const lines = text.split("\n");
  while (lines.length > 0) {
    const block = takeBlock(lines);
    if (block) fragment.append(block);
  }
  return fragment;
}

/** Take the lines of the first block, and return its element; null for an empty line. */
function takeBlock(lines) {
  const fence = FENCE.exec(lines[0]);
  if (fence) return takeCode(lines, fence[1]);
  const heading = HEADING.exec(lines[0]);
  if (heading) {
    lines.shift();
    return element(`h${heading[1].length}`, renderInline(heading[2]));
  }
  if (BULLET.test(lines[0])) return takeList(lines, "ul", BULLET);
  if (NUMBERED.test(lines[0])) return takeList(lines, "ol", NUMBERED);
  if (QUOTE.test(lines[0])) {
    return element("blockquote", [render(take(lines, QUOTE).map((match) => match[1]).join("\n"))]);
  }
  if (lines[0].trim() === "") {
    lines.shift();
    return null;
  }
  return takeParagraph(lines);
}

function takeCode(lines, fence) {
  lines.shift();
  const code = [];
  while (lines.length > 0) {
    const line = lines.shift();
    if (line.trim().startsWith(fence)) break;
    code.push(line);
  }
  return element("pre", [element("code", [code.join("\n")])]);
}

function takeList(lines, tag, pattern) {
  const matches = take(lines, pattern);
  const list = element(tag, matches.map((match) => element("li", renderInline(match.at(-1)))));
  if (tag === "ol") list.start = Number(matches[0][1]);
  return list;
}

function takeParagraph(lines) {
  const parts = [];
  do {
    if (parts.length > 0) parts.push(element("br", []));
    parts.push(...renderInline(lines.shift()));
  } while (lines.length > 0 && isPlain(lines[0]));
  return element("p", parts);
}

function isPlain(line) {
  return line.trim() !== "" && ![FENCE, HEADING, BULLET, NUMBERED, QUOTE].some((each) => each.test(line));
}

/** Take the lines in front that match a pattern, and return the matches. */
function take(lines, pattern) {
  const matches = [];
  while (lines.length > 0 && pattern.test(lines[0])) matches.push(pattern.exec(lines.shift()));
  return matches;
}

function renderInline(text) {
  const nodes = [];
  for (let match = INLINE.exec(text); match; match = INLINE.exec(text)) {
    const [all, , code, bold, italic, label, address] = match;
    nodes.push(text.slice(0, match.index));
    if (code !== undefined) nodes.push(element("code", [code]));
    else if (bold !== undefined) nodes.push(element("strong", renderInline(bold)));
    else if (italic !== undefined) nodes.push(element("em", renderInline(italic)));
    else nodes.push(link(label, address));
    text = text.slice(match.index + all.length);
  }
  return [...nodes, text];
}

function link(label, address) {
  const anchor = element("a", renderInline(label));
  Object.assign(anchor, { href: address, target: "_blank", rel: "noopener noreferrer" });
  return anchor;
}

function element(tag, children) {
  const made = document.createElement(tag);
  made.append(...children); // a string becomes a text node
  return made;
}
